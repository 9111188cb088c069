"""The implementations of a model that pretraining can use."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from ..checkpoint.folder import load_config, load_model
from ..checkpoint.source import ModelFolder
from ..config import ModelConfig
from ..foundation.backend import Backend, load_backend
from ..foundation.errors import ConfigError
from ..model.decoder import Decoder
from ..model.initial import DrawnWeights
from ..model.skeleton import outline
from ..parallel.apply import parallelize
from ..parallel.filling import is_outline
from ..parallel.model import ParallelModel
from ..parallel.plan import make_plan
from .balance import balance_weight
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
        weights = first_weights(settings, model) if is_outline(model) else None
        return parallelize(model, settings.parallel, world, compute, weights=weights)
    backend = megatron()
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
    if laid_out.shares_optimizer:
        check_shared_out(settings, model)
    return laid_out


def check_shared_out(settings: PretrainSettings | SftSettings, model: Decoder) -> None:
    """Raise ConfigError for what megatron.core's own optimizer and schedules, as on GPUs, leave no room for."""
    if settings.guard.rollback_after:
        raise ConfigError(
            f"guard.rollback_after={settings.guard.rollback_after} keeps weights and moments in memory, which "
            "implementation=megatron shares out over processes; set it to 0, or use implementation=native"
        )
    if settings.ema.decay:
        raise ConfigError(
            f"ema.decay={settings.ema.decay} averages float32 weights, which megatron.core's optimizer shares out over "
            "processes; use parallel.fsdp, or implementation=native"
        )
    moe, experts = model.config.moe, settings.experts
    weight = 0.0 if moe is None else balance_weight(moe, experts)
    if experts.bias_rate:
        raise ConfigError(
            f"experts.bias_rate={experts.bias_rate} moves biases that megatron.core's schedules keep by stage; set it "
            "to 0, or use implementation=native"
        )
    if weight and settings.parallel.recompute == "full":
        raise ConfigError(
            f"experts.balance_loss={weight} with parallel.recompute=full: megatron.core computes whole layers without "
            "gradient first, so the loss would have none; use parallel.recompute=selective, or experts.balance_loss=0"
        )


def new_model(settings: PretrainSettings, config: ModelConfig, *, world: World, device: torch.device) -> Decoder:
    """A model with first weights; only its shape where no process will hold all of them, as each draws its own."""
    if is_whole(settings, config, world):
        return Decoder(config, seed=settings.seed).to(device)
    return outline(config)


def outline_or_model(
    settings: PretrainSettings | SftSettings, folder: Path, *, world: World, device: torch.device
) -> Decoder:
    """The model of a checked folder; only its shape where no process will hold all of it, as each reads its own.

    Weights that are to be kept in four bits are read whole: they are shared out once they are rounded.
    """
    config = load_config(folder)
    if is_whole(settings, config, world) or (isinstance(settings, SftSettings) and settings.is_quantized):
        return load_model(folder, device=device)
    return outline(config).eval()


def is_whole(settings: PretrainSettings | SftSettings, config: ModelConfig, world: World) -> bool:
    """Whether every process holds the whole model."""
    return settings.implementation == "native" and make_plan(settings.parallel, config, world.size).is_plain


def first_weights(settings: PretrainSettings | SftSettings, model: Decoder) -> Callable[[str], Tensor]:
    """Canonical tensors by name, of the folder (checked by then) that a run begins with, or of the new model."""
    folder = settings.model if isinstance(settings, SftSettings) else settings.continue_from
    if folder is not None:
        return ModelFolder(folder, load_config(folder), to_compute=True).canonical
    return DrawnWeights(model, model.config, seed=settings.seed)
