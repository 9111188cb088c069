"""How single modules are split over the processes of a mesh, and what their inputs and outputs become.

B batch, T place, H heads of this process, K key/value heads of all, D head width.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard, distribute_module, distribute_tensor
from torch.distributed.tensor.parallel import ParallelStyle

from ..config import ModelConfig

Finish = Callable[[DTensor, DeviceMesh], Tensor]


class Replicated(ParallelStyle):
    """A module that every process computes alike, its weights replicated DTensors."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return distribute_module(module, device_mesh, None, enter, leave)


class Alike(ParallelStyle):
    """As `Replicated`, for a module that is given DTensors and gives them on."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return distribute_module(module, device_mesh)


class PerHead(ParallelStyle):
    """A norm of each head, [B,T,H,D], where this process has some of the heads: its gradient is a part of the sum."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return distribute_module(module, device_mesh, None, enter_heads, leave)


class WholeNorm(ParallelStyle):
    """A norm over all heads at once, [B,T,H*D]: they are gathered, normalised by every process, and cut again."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return distribute_module(module, device_mesh, None, gather_heads, cut_heads)


class Entered(ParallelStyle):
    """A block whose first input becomes a DTensor at once, so that its gradient is summed once and not per matrix."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        module.register_forward_pre_hook(lambda module, inputs: enter(module, inputs, device_mesh))
        return module


class Shared(ParallelStyle):
    """A module that every process computes alike, and of whose output each goes on with what `finish` makes of it."""

    def __init__(self, finish: Finish) -> None:
        super().__init__()
        self.finish = finish

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return distribute_module(module, device_mesh, None, enter, self.end)

    def end(self, _: nn.Module, output: Any, mesh: DeviceMesh) -> Any:
        """This process's part."""
        return self.finish(output, mesh)


class Beside(ParallelStyle):
    """What an adapter has beside a matrix, its weights cut to fit; it drops the inputs that one process would drop."""

    def __init__(self, cuts: Mapping[str, Placement]) -> None:
        super().__init__()
        self.cuts = cuts

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        for name, placement in self.cuts.items():
            copied(module, name, device_mesh, placement)
        part: Any = module
        if hasattr(part, "dropout"):
            part.dropout = drop_as_one
        return module


class Made(ParallelStyle):
    """A module that makes a tensor out of its weights alone, in every process alike."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return distribute_module(module, device_mesh, None, None, leave)


class Placed(ParallelStyle):
    """A matrix with an adapter: both are given one DTensor, and their sum leaves as a plain tensor."""

    def __init__(self, kind: str, finish: Finish | None = None) -> None:
        super().__init__()
        self.cut: Placement = Shard(-1) if kind == "row" else Replicate()
        self.left: Placement = Shard(-1) if kind == "column" else Replicate()
        self.finish = finish

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        module.register_forward_pre_hook(lambda _, inputs: placed(inputs, device_mesh, self.cut))
        module.register_forward_hook(lambda _, inputs, output: self.end(output, device_mesh))
        return module

    def end(self, output: DTensor, mesh: DeviceMesh) -> Tensor:
        """The sum, or this process's part of it."""
        if self.finish is not None:
            return self.finish(output, mesh)
        return output.redistribute(placements=[self.left]).to_local()


def drop_as_one(x: DTensor, share: float, training: bool) -> Tensor:
    """Dropout whose draws are those of one process: each draws for the whole of `x` and takes what is for its part.

    The processes have to draw alike, as `World.generator` says.
    """
    if not training or not share:
        return x
    kept = F.dropout(torch.ones(x.shape, dtype=x.dtype, device=x.device), share)
    own: DTensor = distribute_tensor(kept, x.device_mesh, x.placements, src_data_rank=None)  # None: nothing is sent
    return x * own


def copied(module: nn.Module, name: str, mesh: DeviceMesh, placement: Placement) -> None:
    """Make a weight a DTensor with that placement."""
    weight = module.get_parameter(name)
    cut = distribute_tensor(weight.detach(), mesh, [placement])
    setattr(module, name, nn.Parameter(cut, requires_grad=weight.requires_grad))


def shared_output(leaf: str, config: ModelConfig) -> Finish:
    """What a process goes on with of a result that all have."""
    if leaf == "kv_a_proj_with_mqa":
        assert config.mla is not None
        return latent_and_key(config.mla.rotary_dim)
    return own_head(config)


def own_head(config: ModelConfig) -> Finish:
    """Takes the head that this process's queries look at, [B,T,K*D] to [B,T,D]."""
    heads, width = config.num_kv_heads, config.head_dim

    def finish(output: DTensor, mesh: DeviceMesh) -> Tensor:
        first = mesh.get_local_rank() * heads // mesh.size() * width
        return output.to_local(grad_placements=[Partial()])[..., first : first + width]

    return finish


def latent_and_key(rotary_dim: int) -> Finish:
    """Leaves the latent vector as it is; the gradient of the shared key is summed over the heads of all processes."""

    def finish(output: DTensor, mesh: DeviceMesh) -> Tensor:
        whole = output.to_local()
        width = whole.shape[-1] - rotary_dim
        latent, key = whole.split([width, rotary_dim], -1)
        shared = DTensor.from_local(key, mesh, [Replicate()], run_check=False)
        return torch.cat([latent, shared.to_local(grad_placements=[Partial()])], -1)

    return finish


def enter(_: nn.Module, inputs: tuple[Any, ...], mesh: DeviceMesh) -> Any:
    """The first input as a replicated DTensor."""
    return placed(inputs, mesh, Replicate())


def placed(inputs: tuple[Any, ...], mesh: DeviceMesh, placement: Placement) -> Any:
    """Inputs of which the first is a DTensor."""
    first, *rest = inputs
    if not isinstance(first, DTensor):
        first = DTensor.from_local(first, mesh, [placement], run_check=False)
    return (first, *rest)


def enter_heads(_: nn.Module, inputs: tuple[Any, ...], mesh: DeviceMesh) -> Any:
    """The first input, [B,T,H,D], as one that is split by heads."""
    first, *rest = inputs
    return (DTensor.from_local(first, mesh, [Shard(2)], run_check=False), *rest)


def gather_heads(_: nn.Module, inputs: tuple[Any, ...], mesh: DeviceMesh) -> Any:
    """The first input, [B,T,H*D], with the heads of all processes."""
    first, *rest = inputs
    split = DTensor.from_local(first, mesh, [Shard(-1)], run_check=False)
    return (split.redistribute(placements=[Replicate()]), *rest)


def cut_heads(_: nn.Module, output: Any, mesh: DeviceMesh) -> Any:
    """This process's heads of an output for all."""
    return output.redistribute(placements=[Shard(-1)]).to_local()


def leave(_: nn.Module, output: Any, mesh: DeviceMesh) -> Any:
    """The output as a plain tensor."""
    return output.to_local()
