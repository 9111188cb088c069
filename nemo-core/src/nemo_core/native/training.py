"""Loops in C for what a training step does between its products, on a CPU in fp32: see nemo-core/native/train_*.c.

Each goes once over the numbers that torch goes over in three to ten operations. They know nothing of gradients: the
modules of `model` that call them do.

... any leading dimensions, N rows, E width, F feed-forward width, C tokens of a chunk, V vocabulary, B batch,
T position, H heads, K key heads, D head width, W value width, R turned features.
"""

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .library import COUNT, PLACE, REAL, at, declared, parallel_region

ROWS_OF_A_SUM = 64  # as train_norm.c has it
SIGNATURES: dict[str, list[Any]] = {
    "set_threads": [PLACE, COUNT],
    "train_norm": [*[PLACE] * 4, COUNT, COUNT, REAL],
    "train_norm_back": [*[PLACE] * 6, COUNT, COUNT],
    "train_gate": [*[PLACE] * 3, COUNT, COUNT],
    "train_gate_back": [*[PLACE] * 6, COUNT, COUNT],
    "train_turn": [*[PLACE] * 4, *[COUNT] * 5, REAL],
    "train_loss": [*[PLACE] * 3, COUNT, COUNT],
    "train_attend": [*[PLACE] * 6, *[COUNT] * 6, REAL],
    "train_attend_back": [*[PLACE] * 10, *[COUNT] * 6, REAL],
    "train_spans": [*[PLACE] * 3, COUNT, COUNT],
}


@cache
def library() -> ctypes.CDLL:
    """The kernels compiled for this processor. Raises MissingBackend where the installation lacks them."""
    return declared(SIGNATURES)


def kernels() -> ctypes.CDLL:
    """The same, with as many threads as torch has now; no number depends on how many."""
    loaded = library()
    loaded.set_threads(parallel_region(), torch.get_num_threads())
    return loaded


def norm(x: Tensor, scale_E: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """RMS norm, [..., E], and each row's 1 / rms, [N]."""
    width = x.shape[-1]
    y, inverse_N = torch.empty_like(x), x.new_empty(x.numel() // max(1, width))
    kernels().train_norm(at(x), at(scale_E), at(y), at(inverse_N), len(inverse_N), width, eps)
    return y, inverse_N


def norm_back(x: Tensor, scale_E: Tensor, inverse_N: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of input and scale."""
    rows, width = len(inverse_N), x.shape[-1]
    grad_x, grad_scale_PE = torch.empty_like(x), x.new_zeros(max(1, -(-rows // ROWS_OF_A_SUM)), width)
    places = at(x), at(scale_E), at(inverse_N), at(grad), at(grad_x), at(grad_scale_PE)
    kernels().train_norm_back(*places, rows, width)
    return grad_x, grad_scale_PE[0].clone()


def gate(gate: Tensor, up: Tensor, kind: int) -> Tensor:
    """activation(gate) * up; `kind` is one of GATES."""
    wide = torch.empty_like(gate)
    kernels().train_gate(at(gate), at(up), at(wide), gate.numel(), kind)
    return wide


def gate_back_(gate: Tensor, up: Tensor, pull: Tensor, kind: int) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of gate and up, and activation(gate) * up, where `pull` is the gradient of that and is overwritten."""
    wide, grad_up = torch.empty_like(gate), torch.empty_like(gate)
    places = (at(gate), at(up), at(pull), at(wide), at(pull), at(grad_up))
    kernels().train_gate_back(*places, gate.numel(), kind)
    return pull, grad_up, wide


def turned(x_BTHD: Tensor, cos_TR: Tensor, sin_TR: Tensor, *, sign: float) -> Tensor:
    """The first R features of every head turned by its place's angle, or back by it (sign -1).

    The tables have a row for each place of the batch, or for each place of every row of it, which then share them.
    """
    *_, heads, width = x_BTHD.shape
    feature = cos_TR.shape[-1]
    rows, places = x_BTHD.numel() // (heads * width), cos_TR.numel() // feature
    y_BTHD = torch.empty_like(x_BTHD)
    tables = at(cos_TR), at(sin_TR)
    kernels().train_turn(at(x_BTHD), *tables, at(y_BTHD), rows, places, heads, width, feature, sign)
    return y_BTHD


def lose_(score_CV: Tensor, targets_C: Tensor) -> Tensor:
    """Cross-entropy of each row at its target, [C]; the scores become its slope by them, in their place.

    Raises IndexError for a target beyond the vocabulary.
    """
    rows, width = score_CV.shape
    loss_C = score_CV.new_empty(rows)
    if rows:
        least, most = torch.aminmax(targets_C)
        if least < 0 or most >= width:
            raise IndexError(f"targets from {int(least)} to {int(most)}, but there are scores of {width} tokens")
    kernels().train_loss(at(score_CV), targets_C.contiguous().data_ptr(), at(loss_C), rows, width)
    return loss_C


def spans(allowed_BTT: Tensor) -> Tensor | None:
    """The first key of each query, [B, T], where a mask shows it those from there to itself; None for other masks."""
    allowed_BTT = allowed_BTT.contiguous()
    start_BT = torch.empty(allowed_BTT.shape[:2], dtype=torch.long)
    fits = ctypes.c_int64()
    library().train_spans(allowed_BTT.data_ptr(), start_BT.data_ptr(), ctypes.addressof(fits), *start_BT.shape)
    return start_BT if fits.value else None


def attend(q_BTHD: Tensor, k_BTKD: Tensor, v_BTKW: Tensor, start_BT: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Values mixed by how well each query matches the keys from `start_BT` to itself, [B, T, H, W].

    The second answer, logarithms of softmax's sums, [B, H, T], is for `attend_back`.
    """
    batch, length, heads, _ = q_BTHD.shape
    mixed_BTHW = q_BTHD.new_empty(batch, length, heads, v_BTKW.shape[-1])
    log_sum_BHT = q_BTHD.new_empty(batch, heads, length)
    places = at(q_BTHD), at(k_BTKD), at(v_BTKW), start_BT.data_ptr(), at(mixed_BTHW), at(log_sum_BHT)
    kernels().train_attend(*places, *attention_sizes(q_BTHD, v_BTKW), scale)
    return mixed_BTHW, log_sum_BHT


def attend_back(
    q_BTHD: Tensor,
    k_BTKD: Tensor,
    v_BTKW: Tensor,
    start_BT: Tensor,
    mixed_BTHW: Tensor,
    log_sum_BHT: Tensor,
    grad_BTHW: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values, from what `attend` took and gave, and the gradient of the mixed values."""
    grads = torch.empty_like(q_BTHD), torch.empty_like(k_BTKD), torch.empty_like(v_BTKW)
    given = at(q_BTHD), at(k_BTKD), at(v_BTKW), start_BT.data_ptr(), at(mixed_BTHW), at(log_sum_BHT), at(grad_BTHW)
    kernels().train_attend_back(*given, *map(at, grads), *attention_sizes(q_BTHD, v_BTKW), scale)
    return grads


def attention_sizes(q_BTHD: Tensor, v_BTKW: Tensor) -> tuple[int, ...]:
    """Batch, length, key heads, queries of each, head width, value width."""
    batch, length, heads, width = q_BTHD.shape
    kv_heads, value_width = v_BTKW.shape[2:]
    return batch, length, kv_heads, heads // kv_heads, width, value_width
