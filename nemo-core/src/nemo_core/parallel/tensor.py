"""Tensor parallel (Shoeybi et al. 2019) through DTensor: attention by heads, feed-forward by width, vocabulary by rows.

Activations between blocks are whole in every process; the norms between them are computed by all.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, distribute_module
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from ..model.decoder import Decoder

COLUMNS = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
ROWS = ("o_proj", "down_proj")


class Replicated(ParallelStyle):
    """A module that every process computes alike, its weights replicated DTensors."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return distribute_module(module, device_mesh, None, enter, leave)


class Entered(ParallelStyle):
    """A block whose first input becomes a DTensor at once, so that its gradient is summed once and not per matrix."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        module.register_forward_pre_hook(lambda module, inputs: enter(module, inputs, device_mesh))
        return module


def enter(_: nn.Module, inputs: tuple[Any, ...], mesh: DeviceMesh) -> tuple[Any, ...]:
    """The first input as a replicated DTensor."""
    first, *rest = inputs
    return (DTensor.from_local(first, mesh, [Replicate()], run_check=False), *rest)


def leave(_: nn.Module, output: Any, mesh: DeviceMesh) -> Any:
    """The output as a plain tensor."""
    return output.to_local()


class ShardedHead(Decoder):
    """A decoder whose output head is split by vocabulary; what asks for the whole head gets it gathered."""

    @property
    def head_weight(self) -> Tensor:
        """Output embedding, [V, E], gathered; its gradient goes back to the shards."""
        weight = self.head_shard
        return weight.full_tensor() if isinstance(weight, DTensor) else weight

    @property
    def head_shard(self) -> Tensor:
        """This process's rows of the output embedding, as a DTensor."""
        weight: Tensor = self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return weight


def split_tensors(model: Decoder, mesh: DeviceMesh) -> None:
    """Split the weights of `model` in place over the processes of `mesh`."""
    styles: dict[str, ParallelStyle] = {}
    for name, module in model.named_modules():
        leaf = name.rpartition(".")[2]
        if leaf in COLUMNS:
            styles[name] = ColwiseParallel()
        elif leaf in ROWS:
            styles[name] = RowwiseParallel()
        elif leaf in ("self_attn", "mlp"):
            styles[name] = Entered()
        elif leaf == "embed_tokens":
            styles[name] = RowwiseParallel(input_layouts=Replicate())
        elif leaf == "lm_head":
            styles[name] = ColwiseParallel()
        elif next(module.parameters(recurse=False), None) is not None:
            styles[name] = Replicated()
    for name, style in styles.items():
        parallelize_module(model, mesh, {name: style})
    model.__class__ = ShardedHead


@torch.no_grad()
def head_bounds(weight: DTensor) -> tuple[Tensor, int]:
    """This process's rows of a matrix split by rows, and the number of the first of them."""
    from ..checkpoint.state_piece import piece_of

    piece = piece_of("", weight)
    return weight.to_local(), piece.offset[0]
