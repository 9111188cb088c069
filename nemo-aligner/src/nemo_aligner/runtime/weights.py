"""Weights on their way from the trainer to the generators: one flat array per version, with a checksum.

A generator that was given other bytes than the trainer sent, or the tensors of another model, says so instead of
sampling from the wrong policy.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nemo_core.foundation.errors import SuiteError


class WeightsMismatch(SuiteError):
    """The weights that arrived are not those that were sent, or belong to another model."""


@dataclass(frozen=True)
class Weights:
    """A version of a model's weights. `flat` holds all tensors end to end, in the order of `layout`."""

    version: int
    layout: tuple[tuple[str, tuple[int, ...]], ...]
    flat: NDArray[np.float32]
    checksum: int


def pack(tensors: Mapping[str, Tensor], *, version: int) -> Weights:
    """The `tensors` (float32, on any device) as one array."""
    flat = torch.cat([tensor.detach().reshape(-1).float() for tensor in tensors.values()]).cpu().numpy()
    layout = tuple((name, tuple(tensor.shape)) for name, tensor in tensors.items())
    return Weights(version, layout, flat, zlib.crc32(flat.data))


@torch.no_grad()
def unpack(weights: Weights, into: Mapping[str, Tensor]) -> None:
    """Copy `weights` into the tensors of `into`. Raises WeightsMismatch where names, shapes or the checksum differ."""
    expected = tuple((name, tuple(tensor.shape)) for name, tensor in into.items())
    if expected != weights.layout:
        odd = next((a, b) for a, b in zip([*expected, None], [*weights.layout, None]) if a != b)
        raise WeightsMismatch(f"weights version {weights.version}: the generator has {odd[0]}, was sent {odd[1]}")
    if zlib.crc32(weights.flat.data) != weights.checksum:
        raise WeightsMismatch(f"weights version {weights.version}: checksum differs from what the trainer sent")
    start = 0
    for tensor in into.values():
        part = weights.flat[start : start + tensor.numel()]
        tensor.copy_(torch.tensor(part).view_as(tensor))
        start += tensor.numel()
