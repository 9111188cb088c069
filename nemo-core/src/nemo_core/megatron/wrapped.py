"""Building what a run on GPUs trains: stages, gradient buffers, distributed optimizer."""

from collections.abc import Callable
from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.distributed import (
    DistributedDataParallel,
    DistributedDataParallelConfig,
    finalize_model_grads,
)
from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
from megatron.core.tensor_parallel import set_tensor_model_parallel_attributes
from torch import Tensor

from ..config import ModelConfig
from ..parallel.plan import ParallelPlan
from ..parallel.settings import ParallelSettings
from ..train.device import Compute
from ..train.settings import OptimizerSettings
from ..train.world import World
from .degrees import Degrees
from .main_weights import ReadyOptimizer
from .model import MegatronDecoder
from .recommended import gradient_settings, optimizer_settings, pipeline_settings
from .scheduled import MegatronScheduled
from .settings import Fp8Settings
from .stages import Stages


def schedule(
    config: ModelConfig,
    read: Callable[[str], Tensor],
    *,
    settings: ParallelSettings,
    degrees: Degrees,
    plan: ParallelPlan,
    world: World,
    compute: Compute,
    optimizer: OptimizerSettings,
    learning_rate: float,
    fp8: Fp8Settings,
) -> MegatronScheduled:
    """A model with the canonical tensors that `read` gives, each process reading what it holds."""
    on_engine = compute.device.type == "cuda"
    made = pipeline_settings(settings)
    stages = Stages(
        [
            MegatronDecoder(
                config, degrees=degrees, on_gpu=on_engine, dtype=compute.dtype, fp8=fp8, stage=stage, training=made
            ).to(compute.device)
            for stage in (range(settings.stages_per_rank) if settings.stages_per_rank > 1 else [None])
        ]
    )
    mark_shared(stages)
    copies = int(parallel_state.get_data_parallel_world_size(with_context_parallel=True))
    wrapped = wrap(stages, copies=copies, bucket_mib=settings.bucket_mib)
    recipe = fp8.recipe if fp8.format != "none" else None
    chosen = optimizer_settings(
        optimizer, learning_rate=learning_rate, dtype=compute.dtype, copies=copies, fp8_recipe=recipe
    )
    inner = get_megatron_optimizer(OptimizerConfig(**chosen), wrapped, use_gloo_process_groups=False)
    ready = ReadyOptimizer(inner, weight_decay=optimizer.weight_decay)
    scheduled = MegatronScheduled(stages, wrapped, ready, world, plan, compute)
    scheduled.load_main(read)
    return scheduled


def wrap(stages: Stages, *, copies: int, bucket_mib: float) -> list[Any]:
    """Gradient buffers of every stage, and the functions by which the schedules fill and send them."""
    wrapped = []
    for number, decoder in enumerate(stages):
        chosen = DistributedDataParallelConfig(**gradient_settings(copies=copies, bucket_mib=bucket_mib))
        settings = decoder.gpt.config
        wrapped.append(DistributedDataParallel(settings, chosen, decoder.gpt, disable_bucketing=number > 0))
    for decoder in stages:
        settings = decoder.gpt.config
        settings.finalize_model_grads_func = finalize_model_grads
        if copies > 1:
            without_sync = [one.no_sync for one in wrapped]
            settings.no_sync_func = without_sync[0] if len(wrapped) == 1 else without_sync
    return wrapped


def mark_shared(stages: Stages) -> None:
    """Say which weights tensor-parallel ranks share out: megatron.core does so only where it draws the weights itself,
    and counts the others once in the length of the gradient.
    """
    for entry, weight in stages.held:
        if entry.join.axis is not None and not getattr(weight, "tensor_model_parallel", False):
            set_tensor_model_parallel_attributes(weight, True, entry.join.axis, 1)


def seed_generators() -> None:
    """Tell megatron.core's random generators of a GPU apart by tensor-parallel rank; dropout is off, it asks all the
    same.
    """
    from megatron.core.tensor_parallel import model_parallel_cuda_manual_seed

    if torch.cuda.is_available():
        model_parallel_cuda_manual_seed(0)
