"""Calls every kernel of training with shapes that end within and at whole vectors; prints a number for each answer."""

import ctypes
import os

import torch

from nemo_core.native import training
from nemo_core.native.library import GATES, declared


def told(*answers: torch.Tensor) -> None:
    """Print what stands for these tensors."""
    for answer in answers:
        weight = torch.linspace(0.5, 1.5, answer.numel(), dtype=torch.float64)
        print((answer.double().flatten() * weight).numpy().sum() / answer.numel())


def sweep(rows: int, width: int, draw: torch.Generator) -> None:
    """Every kernel with rows of this width."""
    x, up, grad = torch.randn(3, rows, width, generator=draw).unbind()
    scale = torch.randn(width, generator=draw)
    y, inverse = training.norm(x, scale, 1e-6)
    told(y, inverse, *training.norm_back(x, scale, inverse, grad))
    for kind in GATES.values():
        told(training.gate(x, up, kind), *training.gate_back_(x, up, grad.clone(), kind))
    heads = torch.randn(2, rows, 3, 2 * width + 1, generator=draw)
    angle = torch.randn(rows, 2 * width, generator=draw)
    told(training.turned(heads, angle, angle + 1, sign=1.0), training.turned(heads, angle, angle + 1, sign=-1.0))
    q, k, v = (torch.randn(2, rows, count, size, generator=draw) for count, size in ((4, width), (2, width), (2, 20)))
    start = (torch.arange(rows) // 7 * 7).expand(2, -1).contiguous()
    mixed, log_sum = training.attend(q, k, v, start, 0.3)
    told(mixed, log_sum, *training.attend_back(q, k, v, start, mixed, log_sum, mixed * 2, 0.3))
    told(training.lose_(x, torch.arange(rows) % width), x)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("SWEEP_THREADS", "1")))
    if "SWEEP_LIBRARY" in os.environ:
        loaded = declared(training.SIGNATURES, ctypes.CDLL(os.environ["SWEEP_LIBRARY"]))
        training.library = lambda: loaded  # type: ignore[assignment]
    for seed, (rows, width) in enumerate([(1, 1), (3, 15), (64, 16), (65, 17), (130, 33), (128, 64), (300, 1000)]):
        sweep(rows, width, torch.Generator().manual_seed(seed))
