"""Loops in C for what generation does between the products of a step, on a CPU in fp32: see nemo-core/native.

Each is one call where torch makes five to twenty, which for a few rows take longer than the products themselves.

N rows, E width, H heads, D head width, V value width, K key/value heads, G query heads of each, R turned features,
S positions of the cache, B decoding rows, J blocks of a row, F feed-forward width.
"""

import ctypes
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..native.library import COUNT, PLACE, REAL, at, declared, parallel_region
from ..native.library import GATES as GATES
from ..native.library import take as take

FIELDS: dict[str, list[Any]] = {
    "rms_norm": [*[PLACE] * 4, *[COUNT] * 4, REAL],
    "layer_norm": [*[PLACE] * 4, *[COUNT] * 4, REAL],
    "gate": [*[PLACE] * 2, *[COUNT] * 3],
    "activate": [*[PLACE] * 2, *[COUNT] * 3],
    "turn": [*[PLACE] * 3, *[COUNT] * 5],
    "store": [*[PLACE] * 3, *[COUNT] * 5],
    "attend": [*[PLACE] * 7, *[COUNT] * 10, REAL, REAL],
    "product": [*[PLACE] * 4, *[COUNT] * 4],
    "round": [*[PLACE] * 3, *[COUNT] * 2],
    "product_int8": [*[PLACE] * 7, *[COUNT] * 3],
    "add": [*[PLACE] * 3, COUNT],
}
"""What each kernel is told, in the order of its task in C."""
OTHERS: dict[str, list[Any]] = {
    "set_threads": [PLACE, COUNT],
    "settle": [PLACE, COUNT],
    "likeliest": [PLACE, PLACE, COUNT, COUNT],
    "run": [PLACE, COUNT],
}
SIGNATURES: dict[str, list[Any]] = {**{name: [PLACE] for name in FIELDS}, **OTHERS}


def task_type(name: str, types: list[Any]) -> type[ctypes.Structure]:
    """The task of a kernel as C lays it out."""
    return type(name, (ctypes.Structure,), {"_fields_": [(f"field_{i}", kind) for i, kind in enumerate(types)]})


TASKS = {name: task_type(name, types) for name, types in FIELDS.items()}


class Call(ctypes.Structure):
    """A kernel, and where its task lies."""

    _fields_ = (("kernel", PLACE), ("task", PLACE))


@dataclass(frozen=True)
class Notes:
    """Kernels that were called, with their tasks, in order."""

    names: list[str] = field(default_factory=list)
    tasks: list[ctypes.Structure] = field(default_factory=list)

    def calls(self) -> "ctypes.Array[Call]":
        """What `run` takes; good as long as the notes are."""
        addresses = [ctypes.cast(library()[f"nemo_{name}"], PLACE).value for name in self.names]
        calls = [Call(address, ctypes.addressof(task)) for address, task in zip(addresses, self.tasks)]
        return (Call * len(calls))(*calls)


NOTES: ContextVar[Notes | None] = ContextVar("notes", default=None)
"""Where calls are written down, while a plan is made."""


@cache
def library() -> ctypes.CDLL:
    """The kernels compiled for this processor. Raises MissingBackend where the installation lacks them."""
    return declared(SIGNATURES)


def call(name: str, *words: Any) -> None:
    """Let a kernel do the task that `words` describe; note it, where notes are taken."""
    task = TASKS[name](*words)
    getattr(library(), name)(ctypes.addressof(task))
    notes = NOTES.get()
    if notes is not None:
        notes.names.append(name)
        notes.tasks.append(task)


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
    return norm("rms_norm", x, (scale_E, None), eps)


def layer_norm(x: Tensor, scale_E: Tensor, bias_E: Tensor | None, eps: float) -> Tensor:
    """Layer norm: (x - mean) * scale / sqrt(variance + eps) + bias. [..., E] -> [..., E]."""
    return norm("layer_norm", x, (scale_E, bias_E), eps)


def norm(name: str, x: Tensor, parts: tuple[Tensor, Tensor | None], eps: float) -> Tensor:
    """Normalise the last dimension; rows may lie in stretches that are apart, as the heads of queries do."""
    width, (scale_E, bias_E) = x.shape[-1], parts
    stretch = stretches(x)
    if stretch is None:
        x = x.contiguous()
        stretch = x.numel(), x.numel()
    inner, stride = stretch
    y = x.new_empty(x.shape)
    bias = None if bias_E is None else at(bias_E)
    rows = x.numel() // width
    if x.dtype is not torch.float32:
        raise TypeError(f"a kernel wants contiguous numbers of torch.float32, not {x.dtype}")
    call(name, x.data_ptr(), at(scale_E), bias, at(y), stride, inner // width, rows, width, eps)
    return y


def stretches(x: Tensor) -> tuple[int, int] | None:
    """How many numbers lie one after another, at least the last dimension, and how far apart such stretches begin.

    None where there is no such description.
    """
    count, sizes = 1, [(size, stride) for size, stride in zip(x.shape, x.stride()) if size != 1]
    while sizes and sizes[-1][1] == count:
        count *= sizes.pop()[0]
    if not sizes:
        return count, count
    return (count, sizes[0][1]) if len(sizes) == 1 and count % x.shape[-1] == 0 else None


def gate(x_N2F: Tensor, kind: int) -> Tensor:
    """activation(first half) * second half; `kind` is one of GATES. [..., 2F] -> [..., F]."""
    width = x_N2F.shape[-1] // 2
    y_NF = x_N2F.new_empty(*x_N2F.shape[:-1], width)
    call("gate", at(x_N2F), at(y_NF), y_NF.numel() // width, width, kind)
    return y_NF


def activate(x_NF: Tensor, kind: int) -> Tensor:
    """activation(x); `kind` is one of GATES. [..., F] -> [..., F]."""
    y_NF = x_NF.new_empty(x_NF.shape)
    call("activate", at(x_NF), at(y_NF), x_NF.numel() // x_NF.shape[-1], x_NF.shape[-1], kind)
    return y_NF


def add(left: Tensor, right: Tensor, *, into: Tensor) -> Tensor:
    """The sum of two tensors of one shape, written to `into`."""
    if not left.shape == right.shape == into.shape:
        raise TypeError(f"a kernel adds tensors of one shape, not {tuple(left.shape)} and {tuple(right.shape)}")
    call("add", at(left), at(right), at(into), into.numel())
    return into


def turn_(x_NHD: Tensor, cos_NR: Tensor, sin_NR: Tensor) -> None:
    """Turn the first R features of every head in place; a row's heads lie side by side, else TypeError."""
    tokens, heads, width = x_NHD.shape
    if x_NHD.stride()[1:] != (width, 1):
        raise TypeError(f"heads of {width} numbers do not lie side by side: strides {x_NHD.stride()}")
    place, stride = x_NHD.data_ptr(), x_NHD.stride(0)
    call("turn", place, at(cos_NR), at(sin_NR), stride, tokens, heads, width, cos_NR.shape[1])


def store(x_NKD: Tensor, slot_N: Tensor, cache_KSD: Tensor) -> None:
    """Copy each token's heads to its place in the cache."""
    x_NKD = side_by_side(x_NKD)
    tokens, heads, width = x_NKD.shape
    place, stride, positions = x_NKD.data_ptr(), x_NKD.stride(0), cache_KSD.shape[1]
    call("store", place, slot_N.data_ptr(), at(cache_KSD), stride, tokens, heads, width, positions)


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
    call(
        "attend",
        q_BHD.data_ptr(),
        at(k_KSD),
        at(v_KSV),
        rows.block_BJ.data_ptr(),
        rows.start_B.data_ptr(),
        rows.stop_B.data_ptr(),
        mixed_BHV.data_ptr(),
        q_BHD.stride(0),
        count,
        kv_heads,
        heads // kv_heads,
        width,
        value_width,
        positions,
        rows.block_size,
        rows.block_BJ.shape[1],
        0,
        scale,
        softcap or 0.0,
    )
    return mixed_BHV


def round_to_int8(x_NI: Tensor) -> tuple[Tensor, Tensor]:
    """Each row over its largest magnitude, in -127 to 127, and those magnitudes, [N, 1]."""
    rounded_NI = torch.empty_like(x_NI, dtype=torch.int8)
    largest_N1 = x_NI.new_empty(len(x_NI), 1)
    call("round", at(x_NI), rounded_NI.data_ptr(), largest_N1.data_ptr(), *x_NI.shape)
    return rounded_NI, largest_N1


def settle(weight: Tensor) -> None:
    """Ask the system to put a weight into large pages, which are faster to read."""
    library().settle(weight.data_ptr(), weight.nbytes)


def product(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None, y_NO: Tensor) -> None:
    """X @ weight.T + bias, into `y_NO`, whose rows may be apart."""
    outputs, width = weight_OI.shape
    bias = None if bias_O is None else at(bias_O)
    if y_NO.dtype is not torch.float32 or y_NO.stride(1) != 1:
        raise TypeError(f"a product wants rows of torch.float32 to go to, not {y_NO.dtype} of strides {y_NO.stride()}")
    place, stride = y_NO.data_ptr(), y_NO.stride(0)
    call("product", at(x_NI), at(weight_OI), bias, place, stride, len(x_NI), width, outputs)


def product_int8(x_NI: Tensor, weight_OI: Tensor, steps: tuple[Tensor, Tensor], bias_O: Tensor | None) -> Tensor:
    """Rows, rounded as `round_to_int8` does, through a layer of int8 weights; `steps` says what one of each output's
    weights is worth, over 127, and 128 times the sum of those weights (int32). [N, O].
    """
    (outputs, width), (step_O, raised_O) = weight_OI.shape, steps
    rounded_NI, largest_N1 = round_to_int8(x_NI.contiguous())
    y_NO = x_NI.new_empty(len(x_NI), outputs)
    places = [part.data_ptr() for part in (rounded_NI, largest_N1, weight_OI, raised_O)]
    bias = None if bias_O is None else at(bias_O)
    call("product_int8", *places, at(step_O), bias, at(y_NO), len(x_NI), width, outputs)
    return y_NO


def likeliest(score_NV: Tensor) -> Tensor:
    """The first of the largest scores of each row, NaN being larger than any number, [N]."""
    token_N = score_NV.new_empty(len(score_NV), dtype=torch.long)
    library().likeliest(at(score_NV), token_N.data_ptr(), *score_NV.shape)
    return token_N
