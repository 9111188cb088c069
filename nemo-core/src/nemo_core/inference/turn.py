"""Rotary position embedding in place, for the tokens of one step.

N tokens, H heads, D head width, R turned features.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..model.rope import Rotation
from . import kernels


@dataclass(frozen=True)
class Turn:
    """Cosines and sines of a step, made once for all of its layers."""

    cos_NR: Tensor
    sin_NR: Tensor

    @classmethod
    def of(cls, rotation: Rotation) -> "Turn":
        """From cosines and sines, [1, N, R] each."""
        cos_1NR, sin_1NR = rotation
        return cls(cos_1NR[0].contiguous(), sin_1NR[0].contiguous())

    @cached_property
    def signed_sin_N1R(self) -> Tensor:
        """The sines, those of the first half negative, so that swapped halves need no sign."""
        first, second = self.sin_NR.unsqueeze(1).chunk(2, -1)
        return torch.cat([-first, second], -1)

    def apply_(self, x_NHD: Tensor) -> None:
        """Turn the first R features of every head in place, as `model.rope.rotate` does; heads lie side by side."""
        if kernels.take(x_NHD):
            kernels.turn_(x_NHD, self.cos_NR, self.sin_NR)
            return
        width = self.cos_NR.shape[-1]
        x_NHR = x_NHD if width == x_NHD.shape[-1] else x_NHD.narrow(-1, 0, width)
        swapped_NHR = x_NHR.roll(width // 2, -1)
        x_NHR.mul_(self.cos_NR.unsqueeze(1)).addcmul_(swapped_NHR, self.signed_sin_N1R)
