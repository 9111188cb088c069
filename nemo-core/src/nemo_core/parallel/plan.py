"""A checked layout of processes; pure numbers."""

import math
from dataclasses import dataclass

from ..config import ModelConfig, divisors
from ..foundation.errors import ConfigError
from .settings import ParallelSettings


@dataclass(frozen=True, kw_only=True)
class ParallelPlan:
    """Degrees whose product is the number of processes. Rank order: tensor runs fastest, then context, fsdp, data.

    `expert` is no factor of it: it cuts data x fsdp x context another way, for the weights of experts.
    """

    data: int = 1
    fsdp: int = 1
    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    expert: int = 1

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.data * self.fsdp * self.tensor * self.pipeline * self.context

    @property
    def num_shares(self) -> int:
        """Into how many parts the rows of a batch are divided."""
        return self.data * self.fsdp

    @property
    def num_copies(self) -> int:
        """How many processes hold the same weights, or shards of them, and compute other tokens."""
        return self.data * self.fsdp * self.context

    @property
    def weight_sizes(self) -> tuple[int, int]:
        """`num_copies` as cut for weights: copies of each, and processes that share it out (FSDP2)."""
        return (self.data, self.fsdp * self.context) if self.fsdp > 1 else (self.num_copies, 1)

    @property
    def expert_sizes(self) -> tuple[int, int, int]:
        """`num_copies` as cut for experts: copies of each, processes that share it out (FSDP2), and `expert`."""
        shards = max(1, self.fsdp * self.context // self.expert) if self.fsdp > 1 else 1
        return self.num_copies // shards // self.expert, shards, self.expert

    @property
    def is_plain(self) -> bool:
        """Whether every process holds the whole model and computes whole rows."""
        return self.fsdp == self.tensor == self.pipeline == self.context == self.expert == 1


def make_plan(settings: ParallelSettings, config: ModelConfig, world_size: int) -> ParallelPlan:
    """The layout of `settings` over `world_size` processes.

    Raises ConfigError naming the setting, the number it has to fit, and the values that do.
    """
    check_model(settings, config)
    rest = settings.fsdp * settings.tensor * settings.pipeline * settings.context
    if world_size % rest or (settings.data and settings.data * rest != world_size):
        raise ConfigError(mismatch(settings, rest, world_size))
    plan = ParallelPlan(
        data=world_size // rest,
        fsdp=settings.fsdp,
        tensor=settings.tensor,
        pipeline=settings.pipeline,
        context=settings.context,
        expert=settings.expert,
    )
    check_copies(plan)
    return plan


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
        check_experts(settings.expert, config)
        check_recompute(settings)
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


def check_experts(expert: int, config: ModelConfig) -> None:
    """Raise ConfigError where the experts cannot be shared out evenly."""
    if config.moe is None:
        raise ConfigError(f"parallel.expert={expert}: this model has no experts; leave parallel.expert out")
    number = config.moe.num_experts
    if number % expert:
        raise ConfigError(
            f"parallel.expert={expert} does not divide moe.num_experts={number}; use one of {divisors(number)}"
        )


def check_recompute(settings: ParallelSettings) -> None:
    """Raise ConfigError for what torch cannot recompute: layers inside which FSDP2 gathers experts, in part."""
    if settings.fsdp > 1 and settings.recompute == "selective":
        raise ConfigError(
            f"parallel.recompute=selective with parallel.expert={settings.expert} and parallel.fsdp={settings.fsdp}: "
            "experts are gathered inside what is computed again, which torch allows only for whole layers; use "
            "parallel.recompute=full"
        )


def check_copies(plan: ParallelPlan) -> None:
    """Raise ConfigError where the processes that compute different tokens cannot be cut into groups of experts."""
    copies, shards = plan.num_copies, plan.fsdp * plan.context
    fits = [n for n in divisors(copies) if plan.fsdp == 1 or not (n % shards and shards % n)]
    if plan.expert not in fits:
        raise ConfigError(
            f"parallel.expert={plan.expert} does not fit data x fsdp x context = {plan.data} x {plan.fsdp} x "
            f"{plan.context}, whose processes share out the experts; use one of {fits}"
        )


def check_tensor(tensor: int, config: ModelConfig) -> None:
    """Raise ConfigError where the matrices of the model cannot be split so."""
    check_divides(tensor, config.num_heads, "model.num_heads")
    if config.mla is None and tensor > config.num_kv_heads:
        check_shared_heads(tensor, config)
    elif config.mla is None:
        fits = math.gcd(config.num_heads, config.num_kv_heads)
        check_divides(tensor, config.num_kv_heads, "model.num_kv_heads", fits=fits)
    moe = config.moe
    if moe is None or moe.dense_layers:
        check_divides(tensor, config.ffn_size, "model.ffn_size")
    if moe is not None:
        check_divides(tensor, moe.ffn_size, "moe.ffn_size")
        check_divides(tensor, moe.shared_ffn_size, "moe.shared_ffn_size")


def check_shared_heads(tensor: int, config: ModelConfig) -> None:
    """Raise ConfigError where several processes cannot share a key/value head."""
    if tensor % config.num_kv_heads:
        raise ConfigError(
            f"parallel.tensor={tensor} is no multiple of model.num_kv_heads={config.num_kv_heads}, so key/value heads "
            f"cannot be shared evenly; use one of {fitting(config)}"
        )
    if config.qk_norm == "projection":
        raise ConfigError(
            f"parallel.tensor={tensor} with model.num_kv_heads={config.num_kv_heads}: with qk_norm=projection the norm "
            f"is over all key/value heads, which are not shared then; use parallel.tensor={config.num_kv_heads} or "
            "less, or parallel.fsdp"
        )


def fitting(config: ModelConfig) -> list[int]:
    """The degrees that divide the heads, and divide the key/value heads or are a multiple of them."""
    keys = config.num_kv_heads
    return [degree for degree in divisors(config.num_heads) if keys % degree == 0 or degree % keys == 0]


def check_divides(tensor: int, number: int, name: str, *, fits: int | None = None) -> None:
    """Raise ConfigError where the tensor degree does not divide a size of the model."""
    if number % tensor:
        known = divisors(number if fits is None else fits)
        raise ConfigError(f"parallel.tensor={tensor} does not divide {name}={number}; use one of {known}")
