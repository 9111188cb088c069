"""How much of what the machine can compute a run uses.

MFU (Chowdhery et al. 2022) is model FLOP/s over the peak: forward and backward matrix products of a step, causal
attention counted at half, recomputation not counted. The peak is the data sheet's dense figure of a GPU, or on a CPU
the fastest fp32 matrix product measured here just now.
"""

import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..model.linear import product
from .device import Compute

# Dense bf16 tensor-core TFLOP/s with fp32 sums, by words of the name that torch reports. Most data sheets state twice
# that ("with sparsity"). Sources, all NVIDIA's: Blackwell data sheet (B200, GB200); H200, H100, A100, L40S, L40, L4 and
# A10 data sheets; Ada architecture white paper (RTX 4090).
GPU_TFLOPS = {
    "GB200": 2500.0,
    "B200": 2250.0,
    "H200 NVL": 835.5,
    "H200": 989.4,
    "GH200": 989.4,
    "H100 PCIe": 756.0,
    "H100 NVL": 835.5,
    "H100": 989.4,
    "A100": 312.0,
    "L40S": 362.05,
    "L40": 181.05,
    "L4": 121.0,
    "A10": 125.0,
    "RTX 4090": 165.2,
}
SIDE = 1024


@dataclass(frozen=True)
class Peak:
    """FLOP/s that a device can reach at most, and where the figure comes from."""

    flops: float
    source: str


def find_peak(compute: Compute) -> Peak | None:
    """The peak of the device of a run; None for a GPU that is not in the table."""
    if compute.device.type != "cuda":
        return Peak(measured_flops(), f"{SIDE}x{SIDE} fp32 product on {torch.get_num_threads()} CPU threads")
    name = torch.cuda.get_device_name(compute.device)
    known = tflops_of(name)
    return None if known is None else Peak(known * 1e12, f"data sheet of {name}, dense bf16")


def tflops_of(name: str) -> float | None:
    """The figure of the table for a GPU's name; None for one that is not in it, however much its name resembles one."""
    return next((flops for words, flops in GPU_TFLOPS.items() if re.search(rf"\b{words}\b", name)), None)


class Efficiency:
    """Tokens per second, MFU and memory of a step."""

    def __init__(self, flops_per_token: Callable[[int], float], compute: Compute, *, num_processes: int) -> None:
        self._flops_per_token, self._compute, self._num_processes = flops_per_token, compute, num_processes
        self.peak = find_peak(compute)

    def figures(self, tokens: int, row_tokens: int, seconds: float) -> dict[str, float]:
        """Columns of the metrics for a step that took `tokens` tokens, in rows of `row_tokens`, over all processes."""
        rate = tokens / seconds
        figures = {"tokens_per_s": round(rate, 1), "memory_gib": round(peak_memory_gib(self._compute), 3)}
        if self.peak is not None:
            flops = rate * self._flops_per_token(row_tokens)
            figures["mfu"] = round(flops / (self.peak.flops * self._num_processes), 4)
        return figures


@torch.no_grad()
def measured_flops(*, rounds: int = 6) -> float:
    """FLOP/s of the fastest of a few square matrix products."""
    left, right = torch.ones(SIDE, SIDE), torch.ones(SIDE, SIDE)
    product(left, right)
    fastest = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        product(left, right)
        fastest = min(fastest, time.perf_counter() - started)
    return 2.0 * SIDE**3 / fastest


def peak_memory_gib(compute: Compute) -> float:
    """The most memory used so far: of the device on a GPU, of the process on a CPU."""
    if compute.device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(compute.device) / 2**30)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
