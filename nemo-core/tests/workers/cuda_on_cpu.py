"""megatron.core's training code asks for CUDA by name; here those requests land on the CPU, to rehearse it without one.

Nothing of its arithmetic, schedules, buffers or communication is replaced: only the device of what it allocates, the
names of tensor types it compares, and waiting for a stream.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode


class CudaOnCpu(TorchFunctionMode):
    """Tensors asked for on a GPU are made on the CPU and say they are on one."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if str(kwargs.get("device", "")).startswith("cuda"):
            kwargs["device"] = "cpu"
        kwargs.pop("pin_memory", None)
        if func is torch.Tensor.cuda:
            return args[0]
        found = func(*args, **kwargs)
        if func is torch.Tensor.type and len(args) == 1:
            return found.replace("torch.", "torch.cuda.")
        return found


@contextlib.contextmanager
def cuda_on_cpu() -> Iterator[None]:
    """Inside the block, requests for CUDA are met by the CPU."""
    with (
        mock.patch("torch.cuda.current_device", lambda: torch.device("cpu")),
        mock.patch("torch.cuda.synchronize", lambda *_: None),
        CudaOnCpu(),
    ):
        yield
