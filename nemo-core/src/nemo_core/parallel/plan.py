"""A checked layout of processes; pure numbers."""

import math
from dataclasses import dataclass

from ..config import ModelConfig, divisors
from ..foundation.errors import ConfigError
from .settings import ParallelSettings


@dataclass(frozen=True, kw_only=True)
class ParallelPlan:
    """Degrees whose product is the number of processes. Rank order: tensor runs fastest, then context, fsdp, data."""

    data: int = 1
    fsdp: int = 1
    tensor: int = 1
    pipeline: int = 1
    context: int = 1

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.data * self.fsdp * self.tensor * self.pipeline * self.context

    @property
    def num_shares(self) -> int:
        """Into how many parts the rows of a batch are divided."""
        return self.data * self.fsdp

    @property
    def is_plain(self) -> bool:
        """Whether every process holds the whole model and computes whole rows."""
        return self.fsdp == self.tensor == self.pipeline == self.context == 1


def make_plan(settings: ParallelSettings, config: ModelConfig, world_size: int) -> ParallelPlan:
    """The layout of `settings` over `world_size` processes.

    Raises ConfigError naming the setting, the number it has to fit, and the values that do.
    """
    check_model(settings, config)
    rest = settings.fsdp * settings.tensor * settings.pipeline * settings.context
    if world_size % rest or (settings.data and settings.data * rest != world_size):
        raise ConfigError(mismatch(settings, rest, world_size))
    return ParallelPlan(
        data=world_size // rest,
        fsdp=settings.fsdp,
        tensor=settings.tensor,
        pipeline=settings.pipeline,
        context=settings.context,
    )


def mismatch(settings: ParallelSettings, rest: int, world_size: int) -> str:
    """How the degrees miss the number of processes, and what would fit."""
    named = {name: getattr(settings, name) for name in ("data", "fsdp", "tensor", "pipeline", "context")}
    asked = " x ".join(f"parallel.{name}={value}" for name, value in named.items() if value > 1) or "parallel.data=1"
    product = rest * max(1, settings.data)
    remedy = f"start {product} with torchrun --nproc-per-node {product}, or change the degrees"
    if world_size % rest == 0:
        remedy = f"use parallel.data={world_size // rest}, or 0 for whatever is left"
    multiple = "" if settings.data else "a multiple of "
    return f"{asked} needs {multiple}{product} processes, but WORLD_SIZE={world_size}; {remedy}"


def check_model(settings: ParallelSettings, config: ModelConfig) -> None:
    """Raise ConfigError where the model cannot be cut as asked."""
    if settings.expert > 1:
        raise ConfigError(
            f"parallel.expert={settings.expert}: the native model computes every expert in each process; use "
            "parallel.expert=1 (parallel.fsdp shares out the experts' weights), or the megatron backend"
        )
    if settings.tensor > 1:
        check_tensor(settings.tensor, config)
    stages = settings.pipeline * settings.stages_per_rank
    if stages > config.num_layers:
        raise ConfigError(
            f"parallel.pipeline={settings.pipeline} x parallel.stages_per_rank={settings.stages_per_rank} makes "
            f"{stages} stages, but model.num_layers={config.num_layers}; use {config.num_layers} stages or fewer"
        )
    if (settings.schedule == "interleaved") != (settings.stages_per_rank > 1) and settings.pipeline > 1:
        raise ConfigError(
            f"parallel.schedule={settings.schedule} with parallel.stages_per_rank={settings.stages_per_rank}: "
            "interleaved takes 2 or more stages per rank, the others exactly 1"
        )
    others = {name: getattr(settings, name) for name in ("fsdp", "tensor", "context")}
    if settings.pipeline > 1 and max(others.values()) > 1:
        named = ", ".join(f"parallel.{name}={degree}" for name, degree in others.items() if degree > 1)
        raise ConfigError(
            f"parallel.pipeline={settings.pipeline} cannot be combined with {named}: the native pipeline combines with "
            "parallel.data only; leave the others at 1, or use the megatron backend"
        )


def check_tensor(tensor: int, config: ModelConfig) -> None:
    """Raise ConfigError where the matrices of the model cannot be split so."""
    whole = {
        "mla": config.mla is not None,
        "moe": config.moe is not None,
        "qk_norm=projection": config.qk_norm == "projection",
    }
    for name, is_there in whole.items():
        if is_there:
            raise ConfigError(
                f"parallel.tensor={tensor}: the native implementation does not split a model with {name}; use "
                "parallel.fsdp, or the megatron backend"
            )
    heads = math.gcd(config.num_heads, config.num_kv_heads)
    check_divides(tensor, config.num_heads, "model.num_heads", fits=heads)
    check_divides(tensor, config.num_kv_heads, "model.num_kv_heads", fits=heads)
    check_divides(tensor, config.ffn_size, "model.ffn_size", fits=config.ffn_size)


def check_optimizer(plan: ParallelPlan, kind: str) -> None:
    """Raise ConfigError for an optimizer that looks at whole matrices, where those are cut."""
    if kind != "adamw" and (plan.fsdp > 1 or plan.tensor > 1):
        raise ConfigError(
            f"optimizer.kind={kind} needs whole matrices, but parallel.fsdp={plan.fsdp} and parallel.tensor="
            f"{plan.tensor} cut them; use optimizer.kind=adamw, or parallel.data and parallel.pipeline"
        )


def check_divides(tensor: int, number: int, name: str, *, fits: int) -> None:
    """Raise ConfigError where the tensor degree does not divide a size of the model."""
    if number % tensor:
        raise ConfigError(f"parallel.tensor={tensor} does not divide {name}={number}; use one of {divisors(fits)}")
