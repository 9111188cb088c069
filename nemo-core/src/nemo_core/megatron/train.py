"""Making a megatron model ready for the training loop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from ..config import ModelConfig
from ..foundation.errors import ConfigError
from ..parallel.buckets import Buckets
from ..parallel.fsdp import shard_modules
from ..parallel.plan import ParallelPlan, mismatch
from ..parallel.settings import ParallelSettings
from ..train.device import Compute
from ..train.settings import OptimizerSettings
from ..train.world import World
from .degrees import Degrees
from .laid_out import MegatronLaidOut, data_group
from .matrices import build
from .model import MegatronDecoder
from .parallel import process_groups
from .scheduled import MegatronScheduled
from .settings import NO_FP8, Fp8Settings
from .weights import load_weights
from .wrapped import schedule, seed_generators

NATIVE_ONLY = {"compile": False, "recompute": "none"}


@contextmanager
def groups(settings: ParallelSettings) -> Iterator[None]:
    """The process groups of a run. Raises ConfigError where the degrees do not make up the number of processes."""
    plan_of(settings, dist.get_world_size() if dist.is_initialized() else 1)
    with process_groups(degrees_of(settings)):
        yield


def degrees_of(settings: ParallelSettings) -> Degrees:
    """The degrees that megatron.core is told; tensor parallel on a GPU shares the norms' sequences, too."""
    return Degrees(
        tensor=settings.tensor,
        pipeline=settings.pipeline,
        context=settings.context,
        expert=settings.expert,
        stages_per_process=settings.stages_per_rank,
        sequence_parallel=settings.tensor > 1 and torch.cuda.is_available(),
    )


def plan_of(settings: ParallelSettings, world_size: int) -> ParallelPlan:
    """The layout over `world_size` processes. Raises ConfigError where the degrees do not make up that number."""
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


def lay_out(
    config: ModelConfig,
    read: Callable[[str], Tensor],
    *,
    settings: ParallelSettings,
    world: World,
    compute: Compute,
    optimizer: OptimizerSettings,
    learning_rate: float,
    fp8: Fp8Settings = NO_FP8,
) -> MegatronLaidOut | MegatronScheduled:
    """A megatron model with the canonical tensors that `read` gives, shared out over all processes in `groups`.

    Raises ConfigError where model or settings cannot be had with this implementation.
    """
    on_gpu = compute.device.type == "cuda"
    check_settings(settings, on_gpu=on_gpu)
    plan = plan_of(settings, world.size)
    if on_gpu:
        torch.cuda.set_device(compute.device)  # megatron.core allocates on the current one
    if on_gpu and settings.fsdp == 1:
        check_optimizer(optimizer)
        return lay_out_stages(
            config,
            read,
            settings=settings,
            world=world,
            compute=compute,
            optimizer=optimizer,
            learning_rate=learning_rate,
            fp8=fp8,
        )
    model = MegatronDecoder(config, degrees=degrees_of(settings), on_gpu=on_gpu, fp8=fp8)
    load_weights(model.to(compute.device), read)
    buckets = share(model, settings, plan, compute)
    placed = replace(world, data_rank=world.rank // plan.tensor, data_size=plan.data * plan.fsdp)
    laid_out = MegatronLaidOut(model, placed, plan, buckets)
    if optimizer.kind != "adamw":
        laid_out.own_optimizer = build(
            laid_out.trained, optimizer, learning_rate=learning_rate, rank=laid_out.rank, size=laid_out.size
        )
    return laid_out


def lay_out_stages(
    config: ModelConfig,
    read: Callable[[str], Tensor],
    *,
    settings: ParallelSettings,
    world: World,
    compute: Compute,
    optimizer: OptimizerSettings,
    learning_rate: float,
    fp8: Fp8Settings = NO_FP8,
) -> MegatronScheduled:
    """The same with megatron.core's own schedules, gradient buffers and optimizer, as on GPUs."""
    plan = plan_of(settings, world.size)
    placed = replace(
        world,
        data_rank=parallel_state.get_data_parallel_rank(),
        data_size=parallel_state.get_data_parallel_world_size(),
    )
    seed_generators()
    return schedule(
        config,
        read,
        settings=settings,
        degrees=degrees_of(settings),
        plan=plan,
        world=placed,
        compute=compute,
        optimizer=optimizer,
        learning_rate=learning_rate,
        fp8=fp8,
    )


def check_settings(settings: ParallelSettings, *, on_gpu: bool) -> None:
    """Raise ConfigError for a setting that only the native implementation knows, or that needs a GPU."""
    if settings.pipeline > 1 and not on_gpu:
        raise ConfigError(
            f"implementation=megatron: parallel.pipeline={settings.pipeline} needs a GPU: its schedules allocate "
            "there; use implementation=native"
        )
    if settings.stages_per_rank > 1 and settings.pipeline == 1:
        raise ConfigError(
            f"parallel.stages_per_rank={settings.stages_per_rank} needs parallel.pipeline of 2 or more to interleave"
        )
    if (settings.schedule == "interleaved") != (settings.stages_per_rank > 1) or settings.schedule == "gpipe":
        raise ConfigError(
            f"parallel.schedule={settings.schedule} with parallel.stages_per_rank={settings.stages_per_rank}: "
            "implementation=megatron has 1f1b with 1 stage per rank, and interleaved with 2 or more"
        )
    for name, default in NATIVE_ONLY.items():
        if getattr(settings, name) != default and not (name == "recompute" and on_gpu and settings.fsdp == 1):
            raise ConfigError(
                f"parallel.{name}={getattr(settings, name)} is not offered by implementation=megatron; leave it at "
                f"{default} or use implementation=native"
            )
    if settings.fsdp > 1 and settings.data > 1:
        raise ConfigError(
            f"parallel.fsdp={settings.fsdp} with parallel.data={settings.data}: implementation=megatron shares out "
            "weights over all processes that learn from other rows; leave parallel.data at 0"
        )


def check_optimizer(settings: OptimizerSettings) -> None:
    """Raise ConfigError for an optimizer that looks at whole matrices, of which megatron.core's has stretches."""
    if settings.kind != "adamw":
        raise ConfigError(
            f"optimizer.kind={settings.kind} looks at whole matrices, of which megatron.core's distributed optimizer "
            "on GPUs has stretches; use parallel.fsdp of 2 or more, optimizer.kind=adamw or implementation=native"
        )


def share(model: MegatronDecoder, settings: ParallelSettings, plan: ParallelPlan, compute: Compute) -> Buckets | None:
    """Share out weights, or let gradients be summed, over the processes that learn from other rows."""
    if plan.fsdp > 1:
        from torch.distributed.device_mesh import DeviceMesh

        mesh = DeviceMesh.from_group(data_group(), compute.device.type)
        layers = list(model.gpt.decoder.layers)
        shard_modules(model, layers, mesh, dtype=compute.dtype, reshard=settings.reshard)
        return None
    if plan.data > 1:
        return Buckets(list(model.parameters()), data_group(), max_bytes=settings.bucket_mib * 2**20)
    return None
