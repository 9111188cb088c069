"""Where a run computes, and in which number format."""

import contextlib
import ctypes
import os
import sys
from dataclasses import dataclass
from typing import Protocol

import torch

from ..foundation.errors import ConfigError
from .settings import Device, Dtype

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
LARGEST_KEPT = 2**30


@dataclass(frozen=True)
class Compute:
    """A device and the format of matrix products; weights stay float32."""

    device: torch.device
    dtype: torch.dtype

    def precision(self) -> contextlib.AbstractContextManager[object]:
        """The context in which forward passes run."""
        if self.dtype is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


class ComputeSettings(Protocol):
    """What any command's settings say of where it computes."""

    @property
    def device(self) -> Device:
        """cpu, cuda, or auto: cuda where there is one."""

    @property
    def dtype(self) -> Dtype:
        """Of matrix products."""

    @property
    def threads(self) -> int:
        """CPU threads; 0: one per core."""


def choose_compute(settings: ComputeSettings) -> Compute:
    """Device and format of `settings`; also sets the number of CPU threads, on which the last bit of sums depends.

    Raises ConfigError where cuda is asked for and there is none.
    """
    torch.set_num_threads(settings.threads or num_cores())
    keep_freed_memory()
    has_cuda = torch.cuda.is_available()
    if settings.device == "cuda" and not has_cuda:
        raise ConfigError("device=cuda, but torch finds no CUDA device here; use device=cpu or device=auto")
    on_cuda = has_cuda and settings.device != "cpu"
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_cuda else torch.device("cpu")
    half = settings.dtype == "bfloat16" or (settings.dtype == "auto" and on_cuda)
    return Compute(device, torch.bfloat16 if half else torch.float32)


def num_cores() -> int:
    """Cores that this process may use, shared fairly where torchrun started several processes here."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def keep_freed_memory() -> None:
    """Let the C library keep memory that tensors free for those of the next step, instead of giving it back each time.

    The kernel hands out pages anew at some 5 % of the time of a training step on a CPU. Only glibc has the switch
    (mallopt(3)); elsewhere nothing changes.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is not None and hasattr(library, "gnu_get_libc_version"):
        for switch in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            library.mallopt(switch, LARGEST_KEPT)
