"""Rotary position embedding (Su et al. 2021), half-split layout as Hugging Face Llama stores it.

B batch, T position, H heads, D head width, F = D/2 frequencies.
"""

import math

import torch
from torch import Tensor

from ..config import RopeConfig


def inverse_frequencies(config: RopeConfig, head_dim: int) -> Tensor:
    """Angle per position of each feature pair, [D/2] fp32; scaled as `config.kind` says."""
    exponent_F = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    plain_F = 1.0 / config.theta**exponent_F
    if config.kind == "linear":
        return plain_F / config.factor
    if config.kind == "llama3":
        return stretch_llama3(plain_F, config)
    return plain_F


def stretch_llama3(plain_F: Tensor, config: RopeConfig) -> Tensor:
    """Llama 3.1 scaling: long waves divided by the factor, short ones kept, a smooth blend between."""
    wavelength_F = 2 * math.pi / plain_F
    low, high = config.low_frequency_factor, config.high_frequency_factor
    keep_F = ((config.original_positions / wavelength_F - low) / (high - low)).clamp(0, 1)
    return (1 - keep_F) * plain_F / config.factor + keep_F * plain_F


def rotation_table(config: RopeConfig, head_dim: int, positions: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines for every position, each [positions, D]."""
    angle_TF = torch.arange(positions, dtype=torch.float32)[:, None] * inverse_frequencies(config, head_dim)
    angle_TD = torch.cat([angle_TF, angle_TF], -1)
    return angle_TD.cos(), angle_TD.sin()


def rotate(x_BHTD: Tensor, cos_BTD: Tensor, sin_BTD: Tensor) -> Tensor:
    """Turn each feature pair (d, d + D/2) by its position's angle; cos and sin broadcast over heads."""
    first, second = x_BHTD.chunk(2, -1)
    turned_BHTD = torch.cat([-second, first], -1)
    return x_BHTD * cos_BTD.unsqueeze(-3) + turned_BHTD * sin_BTD.unsqueeze(-3)
