"""megatron.core's process groups."""

import contextlib
from collections.abc import Iterator

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch._C._distributed_c10d import HashStore

from .degrees import ALONE, Degrees


@contextlib.contextmanager
def process_groups(degrees: Degrees = ALONE) -> Iterator[None]:
    """The groups of `degrees` over the processes that torch.distributed knows; alone, a world of one is made.

    megatron.core keeps its groups in global variables, so one degrees is in use at a time.
    """
    joined_here = not dist.is_initialized()
    if joined_here:
        dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    try:
        parallel_state.initialize_model_parallel(
            tensor_model_parallel_size=degrees.tensor,
            pipeline_model_parallel_size=degrees.pipeline,
            virtual_pipeline_model_parallel_size=degrees.stages_per_process if degrees.stages_per_process > 1 else None,
            context_parallel_size=degrees.context,
            expert_model_parallel_size=degrees.expert,
            create_gloo_process_groups=torch.cuda.is_available(),
        )
        yield
    finally:
        parallel_state.destroy_model_parallel()
        if joined_here:
            dist.destroy_process_group()
