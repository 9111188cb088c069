"""Processes in their dimensions: torch's DeviceMesh and the groups taken from it.

The same processes are cut in up to three ways. Each cut is a mesh of its own over all of them, since torch has no
public way to join or split dimensions of one.
"""

import math
from dataclasses import dataclass, replace

import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

from ..checkpoint.state_piece import is_first_holder
from ..train.world import World
from .plan import ParallelPlan

PLACES = ("pipeline", "data", "fsdp", "context", "tensor")  # the last runs fastest
WEIGHTS = ("pipeline", "copy", "shard", "tensor")
EXPERTS = ("pipeline", "expert_copy", "expert_shard", "expert", "tensor")


@dataclass(frozen=True)
class Layout:
    """Where this process stands, and its groups: all processes cut by what they compute, and by what they hold.

    `weights` is None where there is one process; `experts` unless they are shared out; `places` unless rows are cut.
    """

    plan: ParallelPlan
    world: World
    weights: DeviceMesh | None = None
    experts: DeviceMesh | None = None
    places: DeviceMesh | None = None

    def rank(self, dimension: str) -> int:
        """This process's place in a dimension of `PLACES`."""
        faster = PLACES[PLACES.index(dimension) + 1 :]
        stride: int = math.prod(getattr(self.plan, name) for name in faster)
        degree: int = getattr(self.plan, dimension)
        return self.world.rank // stride % degree

    def group(self, dimension: str) -> dist.ProcessGroup:
        """The processes that differ from this one in that dimension of a mesh only."""
        meshes = (self.weights, self.experts, self.places)
        mesh = next(mesh for mesh in meshes if mesh is not None and dimension in (mesh.mesh_dim_names or ()))
        group: dist.ProcessGroup = mesh.get_group(dimension)
        return group

    @property
    def shards(self) -> DeviceMesh:
        """The processes that share out weights; two-dimensional where there are several copies of the model."""
        assert self.weights is not None
        return self.weights["copy", "shard"] if self.plan.weight_sizes[0] > 1 else self.weights["shard"]

    @property
    def expert_shards(self) -> DeviceMesh | None:
        """The same of the experts that this process holds; None where they are not shared out."""
        if self.experts is None:
            return None
        is_copied = self.plan.expert_sizes[0] > 1
        return self.experts["expert_copy", "expert_shard"] if is_copied else self.experts["expert_shard"]

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

    def mesh(names: tuple[str, ...], *sizes: int) -> DeviceMesh:
        return init_device_mesh(device_type, sizes, mesh_dim_names=names)

    layout = Layout(
        plan,
        world,
        weights=mesh(WEIGHTS, plan.pipeline, *plan.weight_sizes, plan.tensor),
        experts=mesh(EXPERTS, plan.pipeline, *plan.expert_sizes, plan.tensor) if plan.expert > 1 else None,
        places=mesh(PLACES, *(getattr(plan, name) for name in PLACES)) if plan.context > 1 else None,
    )
    data_rank = layout.rank("data") * plan.fsdp + layout.rank("fsdp")
    placed = replace(world, data_rank=data_rank, data_size=plan.num_shares, num_alike=plan.tensor)
    return replace(layout, world=placed)
