"""Calls every kernel with shapes that end within and at whole vectors, and prints one number for each answer."""

import ctypes
import os

import torch

from nemo_core.inference import kernels
from nemo_core.native.library import declared


def use_library(path: str) -> None:
    """Let the kernels come from this file."""
    loaded = declared(kernels.SIGNATURES, ctypes.CDLL(path))
    kernels.library = lambda: loaded  # type: ignore[assignment]


def told(*answers: torch.Tensor) -> None:
    """Print what stands for these tensors."""
    for answer in answers:
        weight = torch.linspace(0.5, 1.5, answer.numel(), dtype=torch.float64)
        print(float(answer.double().flatten() @ weight) / answer.numel())


def sweep_rows(width: int, draw: torch.Generator) -> None:
    """Kernels that take rows."""
    x, scale = torch.randn(3, width, generator=draw), torch.randn(width, generator=draw)
    told(
        kernels.rms_norm(x, scale, 1e-6),
        kernels.layer_norm(x, scale, scale, 1e-6),
        kernels.layer_norm(x, x[0], None, 1.0),
    )
    told(kernels.rms_norm(torch.stack([x, x], 1)[:, :1], scale, 1e-6), kernels.add(x, x, into=torch.empty_like(x)))
    told(*(kernels.activate(x, kind) for kind in kernels.GATES.values()))
    told(*(kernels.gate(torch.cat([x, x * 2], 1), kind) for kind in kernels.GATES.values()))
    told(*kernels.round_to_int8(x), kernels.likeliest(x))
    weight, many = torch.randn(7, width, generator=draw), torch.randn(15, width, generator=draw)
    for count in (1, 3, 15):
        y = torch.empty(count, 7)
        kernels.product(many[:count], weight, weight[:, 0].contiguous(), y)
        told(y)
    rounded, step = torch.randint(-127, 128, (7, width), dtype=torch.int8, generator=draw), torch.ones(7) / 127
    steps = step, rounded.sum(1, dtype=torch.int32) * 128
    told(*(kernels.product_int8(many[:count], rounded, steps, scale[:7] if width > 7 else None) for count in (1, 15)))


def sweep_heads(width: int, draw: torch.Generator) -> None:
    """Kernels that take heads: turned, stored in scattered places, attended."""
    x, size = torch.randn(3, 4, 2 * width, generator=draw), 5
    cos, sin = torch.randn(3, 2 * width, generator=draw), torch.randn(3, 2 * width, generator=draw)
    kernels.turn_(x, cos, sin)
    keys, values = torch.zeros(2, 40, 2 * width), torch.zeros(2, 40, width)
    slots = torch.arange(40)
    kernels.store(torch.randn(40, 2, 2 * width, generator=draw), slots, keys)
    kernels.store(torch.randn(40, 2, width, generator=draw), slots.flip(0), values)
    blocks = torch.tensor([[7, 0, 3], [1, 2, 0], [4, 0, 0]])
    rows = kernels.RowBlocks(blocks, torch.tensor([0, 3, 0]), torch.tensor([15, 10, 1]), size)
    told(x, kernels.attend(x, keys, values, rows, scale=0.3, softcap=None))
    told(kernels.attend(x, keys, values, rows, scale=0.3, softcap=2.0))


if __name__ == "__main__":
    if "SWEEP_LIBRARY" in os.environ:
        use_library(os.environ["SWEEP_LIBRARY"])
    kernels.set_threads(int(os.environ.get("SWEEP_THREADS", "1")))
    for seed, width in enumerate((1, 15, 16, 17, 33, 64, 100, 20000)):
        draw = torch.Generator().manual_seed(seed)
        sweep_rows(width, draw)
        if width < 1000:
            sweep_heads(width, draw)
