"""Where what a process holds of megatron.core's tensors lies in the canonical ones."""

from collections.abc import Callable, Iterator, Mapping

import torch.distributed as dist
from torch import Tensor

from ..checkpoint.state_piece import Piece
from ..config import ModelConfig
from ..model.decoder import Decoder
from ..parallel.gather import assemble, gather_outlines
from ..shapes import tensor_specs
from .mapping import Entry


def piece_of_rank(
    name: str, tensor: Tensor, *, axis: int | None, shape: tuple[int, ...], rank: int, size: int
) -> Piece | None:
    """A tensor-parallel rank's part of a canonical tensor; None where the first rank speaks for all."""
    if axis is None or not tensor.ndim:
        return Piece(name, tensor, tuple(tensor.shape), (0,) * tensor.ndim) if rank == 0 else None
    offset = [0] * len(shape)
    offset[axis] = rank * -(-shape[axis] // size)
    room = tuple(slice(0, max(0, extent - begin)) for extent, begin in zip(shape, offset, strict=True))
    return Piece(name, tensor[room], shape, tuple(offset))


def weight_of(name: str) -> str:
    """The weight that a tensor of a state belongs to."""
    is_moment = name.startswith("optim.")
    return name.removeprefix("optim.").rpartition(".")[0] if is_moment else name.removeprefix("ema.")


def whole_model(
    config: ModelConfig, tensors: Callable[[Entry], Mapping[str, Piece | None]], own: Mapping[str, Entry]
) -> Decoder | None:
    """The native model on the CPU of the first process; None in the others, which only send what they hold.

    `own` gives the entry of a canonical name that this process holds, `tensors` the pieces of such an entry.
    """
    weights: dict[str, Tensor] = {}
    for name, piece in in_order(config, tensors, own):
        holders = gather_outlines(piece)
        if not dist.is_initialized() or dist.get_rank() == 0:
            weights[name] = assemble(piece, holders).clone()
        elif dist.get_rank() in holders:
            assert piece is not None
            dist.send(piece.data.cpu().contiguous(), 0)
    if not weights:
        return None
    model = Decoder(config)
    model.load_state_dict(weights, assign=True)
    return model.requires_grad_(True).eval()


def in_order(
    config: ModelConfig, tensors: Callable[[Entry], Mapping[str, Piece | None]], own: Mapping[str, Entry]
) -> Iterator[tuple[str, Piece | None]]:
    """Every canonical name with what this process holds of it; parts of one entry are made once."""
    made: dict[Entry, Mapping[str, Piece | None]] = {}
    for name in tensor_specs(config):
        entry = own.get(name)
        if entry is not None and entry not in made:
            made = {entry: tensors(entry)}
        yield name, made[entry][name] if entry is not None else None
