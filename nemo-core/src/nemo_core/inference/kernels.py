"""Loops in C for what generation does between the products of a step, on a CPU in fp32: see nemo-core/native.

Each is one call where torch makes five to twenty, which for a few rows take longer than the products themselves.

N rows, E width, H heads, D head width, V value width, K key/value heads, G query heads of each, R turned features,
S positions of the cache, B decoding rows, J blocks of a row, F feed-forward width.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..config import Activation
from ..native.library import COUNT, PLACE, REAL, at, declared, parallel_region
from ..native.library import take as take

GATES: dict[Activation, int] = {"silu": 0, "gelu_tanh": 1, "gelu": 2, "relu2": 3}
SIGNATURES: dict[str, list[Any]] = {
    "set_threads": [PLACE, COUNT],
    "rms_norm": [PLACE, COUNT, PLACE, PLACE, COUNT, COUNT, COUNT, REAL],
    "gate": [PLACE, PLACE, COUNT, COUNT, COUNT],
    "turn": [PLACE, COUNT, PLACE, PLACE, COUNT, COUNT, COUNT, COUNT],
    "store": [PLACE, COUNT, PLACE, PLACE, COUNT, COUNT, COUNT, COUNT],
    "attend": [PLACE, COUNT, *[PLACE] * 6, *[COUNT] * 8, REAL, REAL],
    "round": [PLACE, PLACE, PLACE, COUNT, COUNT],
    "row_times": [*[PLACE] * 4, COUNT, COUNT],
    "row_times_int8": [*[PLACE] * 5, COUNT, COUNT],
    "likeliest": [PLACE, PLACE, COUNT, COUNT],
}


@cache
def library() -> ctypes.CDLL:
    """The kernels compiled for this processor. Raises MissingBackend where the installation lacks them."""
    return declared(SIGNATURES)


def set_threads(count: int) -> None:
    """Let the kernels use as many of torch's threads."""
    library().set_threads(parallel_region(), count)


def side_by_side(x_NHD: Tensor) -> Tensor:
    """The same, the heads of a row one after another in memory; rows may be apart. Raises TypeError as `at` does."""
    if x_NHD.dtype is not torch.float32:
        raise TypeError(f"a kernel wants heads of torch.float32, not {x_NHD.dtype}")
    return x_NHD if x_NHD.stride()[1:] == (x_NHD.shape[2], 1) else x_NHD.contiguous()


def rms_norm(x: Tensor, scale_E: Tensor, eps: float) -> Tensor:
    """RMS norm: x * scale / sqrt(mean of squares + eps). [..., E] -> [..., E]."""
    x = x.contiguous()
    width = x.shape[-1]
    y = torch.empty_like(x)
    library().rms_norm(at(x), width, at(scale_E), y.data_ptr(), width, x.numel() // width, width, eps)
    return y


def gate(x_N2F: Tensor, kind: int) -> Tensor:
    """activation(first half) * second half; `kind` is one of GATES. [..., 2F] -> [..., F]."""
    width = x_N2F.shape[-1] // 2
    y_NF = x_N2F.new_empty(*x_N2F.shape[:-1], width)
    library().gate(at(x_N2F), y_NF.data_ptr(), y_NF.numel() // width, width, kind)
    return y_NF


def turn_(x_NHD: Tensor, cos_NR: Tensor, sin_NR: Tensor) -> None:
    """Turn the first R features of every head in place; a row's heads lie side by side, else TypeError."""
    tokens, heads, width = x_NHD.shape
    if x_NHD.stride()[1:] != (width, 1):
        raise TypeError(f"heads of {width} numbers do not lie side by side: strides {x_NHD.stride()}")
    place, stride = x_NHD.data_ptr(), x_NHD.stride(0)
    library().turn(place, stride, at(cos_NR), at(sin_NR), tokens, heads, width, cos_NR.shape[1])


def store(x_NKD: Tensor, slot_N: Tensor, cache_KSD: Tensor) -> None:
    """Copy each token's heads to its place in the cache."""
    x_NKD = side_by_side(x_NKD)
    tokens, heads, width = x_NKD.shape
    place, stride, positions = x_NKD.data_ptr(), x_NKD.stride(0), cache_KSD.shape[1]
    library().store(place, stride, slot_N.data_ptr(), at(cache_KSD), tokens, heads, width, positions)


@dataclass(frozen=True)
class RowBlocks:
    """The blocks of each row, filled up to the longest, and which positions it sees."""

    block_BJ: Tensor
    start_B: Tensor
    stop_B: Tensor
    block_size: int


def attend(
    q_BHD: Tensor, k_KSD: Tensor, v_KSV: Tensor, rows: RowBlocks, *, scale: float, softcap: float | None
) -> Tensor:
    """Mixed values of one query per row and head, [B, H*V]."""
    q_BHD = side_by_side(q_BHD)
    count, heads, width = q_BHD.shape
    kv_heads, positions, value_width = v_KSV.shape
    mixed_BHV = q_BHD.new_empty(count, heads * value_width)
    library().attend(
        q_BHD.data_ptr(),
        q_BHD.stride(0),
        at(k_KSD),
        at(v_KSV),
        rows.block_BJ.data_ptr(),
        rows.start_B.data_ptr(),
        rows.stop_B.data_ptr(),
        mixed_BHV.data_ptr(),
        count,
        kv_heads,
        heads // kv_heads,
        width,
        value_width,
        positions,
        rows.block_size,
        rows.block_BJ.shape[1],
        scale,
        softcap or 0.0,
    )
    return mixed_BHV


def round_to_int8(x_NI: Tensor) -> tuple[Tensor, Tensor]:
    """Each row over its largest magnitude, in -127 to 127, and those magnitudes, [N, 1]."""
    rounded_NI = torch.empty_like(x_NI, dtype=torch.int8)
    largest_N1 = x_NI.new_empty(len(x_NI), 1)
    library().round(at(x_NI), rounded_NI.data_ptr(), largest_N1.data_ptr(), *x_NI.shape)
    return rounded_NI, largest_N1


def row_times(x_1I: Tensor, weight_OI: Tensor, bias_O: Tensor | None, y_O: Tensor) -> None:
    """One row through a linear layer, into `y_O`."""
    outputs, width = weight_OI.shape
    bias = None if bias_O is None else at(bias_O)
    library().row_times(at(x_1I), at(weight_OI), bias, at(y_O), width, outputs)


def row_times_int8(x_1I: Tensor, weight_OI: Tensor, step_O: Tensor, bias_O: Tensor | None) -> Tensor:
    """One row, rounded to int8 as `round_to_int8` does, through a layer of int8 weights. [1, O]."""
    outputs, width = weight_OI.shape
    y_1O = x_1I.new_empty(1, outputs)
    bias = None if bias_O is None else at(bias_O)
    library().row_times_int8(at(x_1I), weight_OI.data_ptr(), at(step_O), bias, y_1O.data_ptr(), width, outputs)
    return y_1O


def likeliest(score_NV: Tensor) -> Tensor:
    """The first of the largest scores of each row, NaN being larger than any number, [N]."""
    token_N = score_NV.new_empty(len(score_NV), dtype=torch.long)
    library().likeliest(at(score_NV), token_N.data_ptr(), *score_NV.shape)
    return token_N
