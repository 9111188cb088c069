"""Rotary position embedding (Su et al. 2021), half-split layout as Hugging Face Llama stores it.

B batch, T position, H heads, D head width, R turned features, F = R/2 frequencies, P positions.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..config import RopeConfig
from ..native import training
from .linear import is_plain

Rotation = tuple[Tensor, Tensor]


def inverse_frequencies(config: RopeConfig, rotary_dim: int, *, long: bool = False) -> Tensor:
    """Angle per position of each feature pair, [R/2] fp32; scaled as `config.kind` says.

    `long` takes longrope's frequencies for sequences beyond `original_positions`. The kind "dynamic" changes nothing
    up to `max_positions`, which is as far as a model goes here.
    """
    exponent_F = torch.arange(0, rotary_dim, 2, dtype=torch.float32) / rotary_dim
    plain_F = 1.0 / config.theta**exponent_F
    if config.kind == "linear":
        return plain_F / config.factor
    if config.kind == "llama3":
        return stretch_llama3(plain_F, config)
    if config.kind == "yarn":
        return stretch_yarn(plain_F, config, rotary_dim)
    if config.kind == "longrope":
        divisor_F = torch.tensor(config.long_factors if long else config.short_factors, dtype=torch.float32)
        return 1.0 / (divisor_F * config.theta**exponent_F)
    return plain_F


def stretch_llama3(plain_F: Tensor, config: RopeConfig) -> Tensor:
    """Llama 3.1 scaling: long waves divided by the factor, short ones kept, a smooth blend between."""
    wavelength_F = 2 * math.pi / plain_F
    low, high = config.low_frequency_factor, config.high_frequency_factor
    keep_F = ((config.original_positions / wavelength_F - low) / (high - low)).clamp(0, 1)
    return (1 - keep_F) * plain_F / config.factor + keep_F * plain_F


def stretch_yarn(plain_F: Tensor, config: RopeConfig, rotary_dim: int) -> Tensor:
    """YaRN (Peng et al. 2023): frequencies of few turns divided by the factor, of many kept, a ramp between."""
    first, last = (
        rotary_dim * math.log(config.original_positions / (turns * 2 * math.pi)) / (2 * math.log(config.theta))
        for turns in (config.beta_fast, config.beta_slow)
    )
    if config.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, rotary_dim - 1)
    ramp_F = (torch.arange(len(plain_F), dtype=torch.float32) - first) / (last - first or 0.001)
    divided_F = ramp_F.clamp(0, 1)
    return plain_F / config.factor * divided_F + plain_F * (1 - divided_F)


def attention_factor(config: RopeConfig) -> float:
    """What cosines and sines are multiplied by (yarn, longrope)."""
    if config.kind not in ("yarn", "longrope"):
        return 1.0
    if config.attention_factor is not None:
        return config.attention_factor
    if config.kind == "longrope":
        if config.factor <= 1:
            return 1.0
        return math.sqrt(1 + math.log(config.factor) / math.log(config.original_positions))
    if config.mscale and config.mscale_all:
        return yarn_mscale(config.factor, config.mscale) / yarn_mscale(config.factor, config.mscale_all)
    return yarn_mscale(config.factor, 1.0)


def yarn_mscale(factor: float, weight: float) -> float:
    """YaRN's temperature: 0.1 * weight * ln(factor) + 1."""
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0


def rotation_table(config: RopeConfig, rotary_dim: int, positions: int, *, long: bool = False) -> Rotation:
    """Cosines and sines for every position, each [P, R], times the attention factor."""
    frequency_F = inverse_frequencies(config, rotary_dim, long=long)
    angle_PF = torch.arange(positions, dtype=torch.float32)[:, None] * frequency_F
    angle_PR = torch.cat([angle_PF, angle_PF], -1)
    scale = attention_factor(config)
    return (angle_PR.cos(), angle_PR.sin()) if scale == 1 else (angle_PR.cos() * scale, angle_PR.sin() * scale)


def rotate(x_BHTD: Tensor, cos_BTR: Tensor, sin_BTR: Tensor) -> Tensor:
    """Turn each pair (r, r + R/2) of the first R features by its position's angle; cos and sin broadcast over heads."""
    if is_plain(x_BHTD, cos_BTR, sin_BTR):
        plain_BHTD: Tensor = TurnInOnePass.apply(x_BHTD, cos_BTR, sin_BTR)  # type: ignore[no-untyped-call]
        return plain_BHTD
    turned = cos_BTR.shape[-1]
    if turned < x_BHTD.shape[-1]:
        x_BHTR, rest = x_BHTD[..., :turned], x_BHTD[..., turned:]
        return torch.cat([rotate(x_BHTR, cos_BTR, sin_BTR), rest], -1)
    if torch.compiler.is_compiling():  # which fuses plain operations itself
        first, second = x_BHTD.chunk(2, -1)
        return x_BHTD * cos_BTR.unsqueeze(-3) + torch.cat([-second, first], -1) * sin_BTR.unsqueeze(-3)
    turned_BHTD: Tensor = Turn.apply(x_BHTD, cos_BTR, sin_BTR)  # type: ignore[no-untyped-call]
    return turned_BHTD


class TurnInOnePass(torch.autograd.Function):
    """Rotation of the first features as a loop in C; its gradient is turned back by the same angles."""

    @staticmethod
    def forward(ctx: Any, x_BHTD: Tensor, cos_BTR: Tensor, sin_BTR: Tensor) -> Tensor:
        """[B, H, T, D] -> [B, H, T, D]."""
        ctx.tables = cos_BTR.contiguous(), sin_BTR.contiguous()
        return training.turned(x_BHTD.transpose(1, 2).contiguous(), *ctx.tables, sign=1.0).transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BHTD: Tensor) -> tuple[Tensor, None, None]:
        """Gradient of the input."""
        grad_BTHD = grad_BHTD.transpose(1, 2).contiguous()
        return training.turned(grad_BTHD, *ctx.tables, sign=-1.0).transpose(1, 2), None, None


class Turn(torch.autograd.Function):
    """Rotation of all features in three passes; its gradient is turned back by the same angles."""

    @staticmethod
    def forward(ctx: Any, x_BHTD: Tensor, cos_BTR: Tensor, sin_BTR: Tensor) -> Tensor:
        """[B, H, T, D] -> [B, H, T, D]."""
        ctx.save_for_backward(cos_BTR, sin_BTR)
        return turn(x_BHTD, cos_BTR, sin_BTR)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BHTD: Tensor) -> tuple[Tensor, None, None]:
        """Gradient of the input."""
        cos_BTR, sin_BTR = ctx.saved_tensors
        return turn(grad_BHTD, cos_BTR, -sin_BTR), None, None


def turn(x_BHTD: Tensor, cos_BTR: Tensor, sin_BTR: Tensor) -> Tensor:
    """Each pair turned by its angle, with no copy of crossed features."""
    half = x_BHTD.shape[-1] // 2
    sin_BHTF = sin_BTR[..., :half].unsqueeze(-3)
    y_BHTD = x_BHTD * cos_BTR.unsqueeze(-3)
    y_BHTD[..., :half].addcmul_(x_BHTD[..., half:], sin_BHTF, value=-1)
    y_BHTD[..., half:].addcmul_(x_BHTD[..., :half], sin_BHTF)
    return y_BHTD
