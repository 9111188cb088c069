"""Tensor parallel (Shoeybi et al. 2019) through DTensor: attention by heads, feed-forward by width, vocabulary by rows.

Activations between blocks are whole in every process; the norms between them are computed by all.
"""

from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_module
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from ..foundation.errors import ConfigError
from ..model.decoder import Decoder

COLUMNS = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
ROWS = ("o_proj", "down_proj")


class Replicated(ParallelStyle):
    """A module that every process computes alike, its weights replicated DTensors."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return distribute_module(module, device_mesh, None, enter, leave)


class PerHead(ParallelStyle):
    """A norm of each head, [B,T,H,D], where this process has some of the heads: its gradient is a part of the sum."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return distribute_module(module, device_mesh, None, enter_heads, leave)


class Entered(ParallelStyle):
    """A block whose first input becomes a DTensor at once, so that its gradient is summed once and not per matrix."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        module.register_forward_pre_hook(lambda module, inputs: enter(module, inputs, device_mesh))
        return module


def enter(_: nn.Module, inputs: tuple[Any, ...], mesh: DeviceMesh) -> Any:
    """The first input as a replicated DTensor."""
    first, *rest = inputs
    return (DTensor.from_local(first, mesh, [Replicate()], run_check=False), *rest)


def enter_heads(_: nn.Module, inputs: tuple[Any, ...], mesh: DeviceMesh) -> Any:
    """The first input, [B,T,H,D], as one that is split by heads."""
    first, *rest = inputs
    return (DTensor.from_local(first, mesh, [Shard(2)], run_check=False), *rest)


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
    """Split the weights of `model` in place over the processes of `mesh`.

    Raises ConfigError naming a layer that cannot be split: an adapter on a matrix, for example.
    """
    styles = {name: style_of(name, module) for name, module in model.named_modules()}
    for name, style in styles.items():
        if style is not None:
            parallelize_module(model, mesh, {name: style})
    model.__class__ = ShardedHead


def style_of(name: str, module: nn.Module) -> ParallelStyle | None:
    """How a module is split; None where it has no weights of its own."""
    leaf = name.rpartition(".")[2]
    if leaf in (*COLUMNS, *ROWS, "lm_head") and not isinstance(module, nn.Linear):
        raise ConfigError(
            f"parallel.tensor: {name} is a {type(module).__name__}, and only plain matrices are split; "
            "use parallel.fsdp instead"
        )
    if leaf in ("self_attn", "mlp"):
        return Entered()
    if leaf in ("q_norm", "k_norm"):
        return PerHead()
    if leaf in ROWS:
        return RowwiseParallel()
    if leaf in COLUMNS or leaf == "lm_head":
        return ColwiseParallel()
    if leaf == "embed_tokens":
        return RowwiseParallel(input_layouts=Replicate())
    return None if next(module.parameters(recurse=False), None) is None else Replicated()
