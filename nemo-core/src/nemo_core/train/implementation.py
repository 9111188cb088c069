"""The implementations of a model that pretraining can use."""

import contextlib
from types import ModuleType

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


def lay_out(settings: PretrainSettings, model: Decoder, *, world: World, compute: Compute) -> ParallelModel:
    """The model over all processes, with the weights of the native `model` whichever the implementation."""
    if settings.implementation == "native":
        if settings.fp8.format != "none":
            raise ConfigError(f"fp8.format={settings.fp8.format} needs implementation=megatron")
        return parallelize(model, settings.parallel, world, compute)
    if settings.ema.decay:
        raise ConfigError(
            f"ema.decay={settings.ema.decay} is not offered by implementation=megatron; use implementation=native"
        )
    backend = megatron()
    backend.check_optimizer(settings.optimizer)
    laid_out: ParallelModel = backend.lay_out(
        model, settings=settings.parallel, world=world, compute=compute, fp8=settings.fp8
    )
    return laid_out
