"""Rotary position embedding in place, for the tokens of one step.

N tokens, H heads, D head width, R turned features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.rope import Rotation


@dataclass(frozen=True)
class Turn:
    """Cosines and sines of a step, the sines of the first half negative, so that swapped halves need no sign."""

    cos_N1R: Tensor
    sin_N1R: Tensor

    @classmethod
    def of(cls, rotation: Rotation) -> "Turn":
        """Made once for all layers of a step from cosines and sines, [1, N, R] each."""
        cos_N1R, sin_N1R = (part_1NR[0].unsqueeze(1) for part_1NR in rotation)
        first, second = sin_N1R.chunk(2, -1)
        return cls(cos_N1R, torch.cat([-first, second], -1))

    def apply_(self, x_NHD: Tensor) -> None:
        """Turn the first R features of every head in place, as `model.rope.rotate` does."""
        width = self.cos_N1R.shape[-1]
        x_NHR = x_NHD if width == x_NHD.shape[-1] else x_NHD.narrow(-1, 0, width)
        swapped_NHR = x_NHR.roll(width // 2, -1)
        x_NHR.mul_(self.cos_N1R).addcmul_(swapped_NHR, self.sin_N1R)
