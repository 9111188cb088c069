"""The implementations of a model that pretraining can use."""

import contextlib
from types import ModuleType

from ..config import ModelConfig
from ..foundation.backend import Backend, load_backend
from ..foundation.errors import ConfigError
from ..model.decoder import Decoder
from ..parallel.apply import parallelize
from ..parallel.model import ParallelModel
from .device import Compute
from .settings import PretrainSettings
from .world import World

IMPLEMENTATIONS = {"megatron": Backend(module="nemo_core.megatron.train", extra="megatron")}


def megatron() -> ModuleType:
    """The megatron implementation. Raises MissingBackend where its library is not installed."""
    return load_backend("implementation", "megatron", IMPLEMENTATIONS, package="nemo-core")


def process_groups(settings: PretrainSettings) -> contextlib.AbstractContextManager[None]:
    """Groups of processes that the implementation keeps beside torch's own; `lay_out` needs them."""
    if settings.implementation == "native":
        return contextlib.nullcontext()
    groups: contextlib.AbstractContextManager[None] = megatron().groups(settings.parallel)
    return groups


def lay_out(settings: PretrainSettings, config: ModelConfig, *, world: World, compute: Compute) -> ParallelModel:
    """A new model over all processes; whichever the implementation, it starts from the same weights."""
    if settings.implementation == "native":
        if settings.fp8.format != "none":
            raise ConfigError(f"fp8.format={settings.fp8.format} needs implementation=megatron")
        model = Decoder(config, seed=settings.seed).to(compute.device)
        return parallelize(model, settings.parallel, world, compute)
    backend = megatron()
    backend.check_optimizer(settings.optimizer)
    read = backend.initial_weights(config, settings.seed)
    laid_out: ParallelModel = backend.lay_out(
        config, read, settings=settings.parallel, world=world, compute=compute, fp8=settings.fp8
    )
    return laid_out
