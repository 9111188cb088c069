"""Processes in their dimensions: torch's DeviceMesh and the groups taken from it."""

from dataclasses import dataclass, replace

import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

from ..checkpoint.state_piece import is_first_holder
from ..train.world import World
from .plan import ParallelPlan

DIMENSIONS = ("pipeline", "data", "fsdp", "context", "tensor")


@dataclass(frozen=True)
class Layout:
    """Where this process stands. `experts` is data x fsdp x context cut another way, where experts are shared out."""

    plan: ParallelPlan
    world: World
    mesh: DeviceMesh | None = None
    experts: DeviceMesh | None = None

    def rank(self, dimension: str) -> int:
        """This process's place in a dimension."""
        return 0 if self.mesh is None else int(self.mesh.get_local_rank(dimension))

    def group(self, dimension: str) -> dist.ProcessGroup:
        """The processes that differ from this one in that dimension only."""
        assert self.mesh is not None
        group: dist.ProcessGroup = self.mesh.get_group(dimension)
        return group

    def owns(self, tensor: DTensor, *, is_expert: bool = False) -> bool:
        """Whether this process is the first that holds this shard of a weight."""
        sharded_over_batch = self.plan.fsdp > 1
        return is_first_holder(tensor) and (sharded_over_batch or self.copy_rank(is_expert=is_expert) == 0)

    def copy_rank(self, *, is_expert: bool) -> int:
        """This process's place among those that hold the same weights, of an expert or of the rest."""
        return self.batch_rank // (self.plan.expert if is_expert else 1)

    @property
    def batch_rank(self) -> int:
        """This process's place among those with the same weights and other tokens."""
        plan = self.plan
        return (self.rank("data") * plan.fsdp + self.rank("fsdp")) * plan.context + self.rank("context")

    def stage_rank(self, *, is_expert: bool = False) -> int:
        """This process's place among those of the same pipeline stage, or of those with the same experts among them."""
        return self.copy_rank(is_expert=is_expert) * self.plan.tensor + self.rank("tensor")

    def stage_size(self, *, is_expert: bool = False) -> int:
        """How many processes there are in a pipeline stage, or of those with the same experts among them."""
        return self.plan.size // self.plan.pipeline // (self.plan.expert if is_expert else 1)


def lay_out(plan: ParallelPlan, world: World, *, device_type: str) -> Layout:
    """The layout of a plan over all processes, with this process's share of the rows."""
    if world.size == 1:
        return Layout(plan, world)
    sizes = tuple(getattr(plan, name) for name in DIMENSIONS)
    mesh = init_device_mesh(device_type, sizes, mesh_dim_names=DIMENSIONS)
    layout = Layout(plan, world, mesh, experts=expert_mesh(mesh, plan) if plan.expert > 1 else None)
    data_rank = layout.rank("data") * plan.fsdp + layout.rank("fsdp")
    placed = replace(world, data_rank=data_rank, data_size=plan.num_shares, num_alike=plan.tensor)
    return replace(layout, world=placed)


def batch_mesh(mesh: DeviceMesh) -> DeviceMesh:
    """The processes that compute different tokens with the same weights, or with shards of them."""
    return mesh["data", "fsdp", "context"]._flatten("batch")


def expert_mesh(mesh: DeviceMesh, plan: ParallelPlan) -> DeviceMesh:
    """The same processes by copy of an expert, by shard of it, and by the experts that they hold."""
    names = ("expert_copy", "expert_shard", "expert")
    return batch_mesh(mesh)._unflatten(0, plan.expert_sizes, names)
