"""The implementations of a model that pretraining can use."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from ..checkpoint.folder import load_model, open_model
from ..foundation.backend import Backend, load_backend
from ..foundation.errors import ConfigError
from ..model.decoder import Decoder
from ..parallel.apply import parallelize
from ..parallel.model import ParallelModel
from .device import Compute
from .settings import PretrainSettings, SftSettings
from .world import World

IMPLEMENTATIONS = {"megatron": Backend(module="nemo_core.megatron.train", extra="megatron")}


def megatron() -> ModuleType:
    """The megatron implementation. Raises MissingBackend where its library is not installed."""
    return load_backend("implementation", "megatron", IMPLEMENTATIONS, package="nemo-core")


def process_groups(settings: PretrainSettings | SftSettings) -> contextlib.AbstractContextManager[None]:
    """Groups of processes that the implementation keeps beside torch's own; `lay_out` needs them."""
    if settings.implementation == "native":
        return contextlib.nullcontext()
    groups: contextlib.AbstractContextManager[None] = megatron().groups(settings.parallel)
    return groups


def lay_out(
    settings: PretrainSettings | SftSettings, model: Decoder, *, world: World, compute: Compute
) -> ParallelModel:
    """The model over all processes, with the weights of the native `model` whichever the implementation."""
    if settings.implementation == "native":
        if settings.fp8.format != "none":
            raise ConfigError(f"fp8.format={settings.fp8.format} needs implementation=megatron")
        return parallelize(model, settings.parallel, world, compute)
    if settings.ema.decay:
        raise ConfigError(
            f"ema.decay={settings.ema.decay} is not offered by implementation=megatron; use implementation=native"
        )
    check_balance(settings, model)
    backend = megatron()
    backend.check_optimizer(settings.optimizer)
    laid_out: ParallelModel = backend.lay_out(
        model.config,
        first_weights(settings, model),
        settings=settings.parallel,
        world=world,
        compute=compute,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate or 0.0,  # set before every step
        fp8=settings.fp8,
    )
    if laid_out.own_optimizer is not None and settings.guard.rollback_after:
        raise ConfigError(
            f"guard.rollback_after={settings.guard.rollback_after} keeps weights and moments in memory, which "
            "implementation=megatron shares out over processes; set it to 0, or use implementation=native"
        )
    return laid_out


def check_balance(settings: PretrainSettings | SftSettings, model: Decoder) -> None:
    """Raise ConfigError where experts are to be balanced: that looks at the native implementation's routers."""
    moe, experts = model.config.moe, settings.experts
    weight = 0.0 if moe is None else moe.balance_loss if experts.balance_loss is None else experts.balance_loss
    if moe is not None and (weight or experts.bias_rate):
        raise ConfigError(
            f"experts.balance_loss={weight} and experts.bias_rate={experts.bias_rate} need implementation=native: "
            "routers of megatron.core are not balanced here; set both to 0, or use implementation=native"
        )


def outline_or_model(settings: PretrainSettings | SftSettings, folder: Path, *, device: torch.device) -> Decoder:
    """The model of a folder; for megatron.core only its shape, as each process reads what it will hold itself."""
    if settings.implementation == "native":
        return load_model(folder, device=device)
    with torch.device("meta"):
        return Decoder(open_model(folder).config)


def first_weights(settings: PretrainSettings | SftSettings, model: Decoder) -> Callable[[str], Tensor]:
    """Canonical tensors by name, of the folder that a run begins with or of the new model."""
    folder = settings.model if isinstance(settings, SftSettings) else settings.continue_from
    return model.state_dict().__getitem__ if folder is None else open_model(folder, to_compute=True).canonical
