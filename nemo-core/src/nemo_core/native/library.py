"""The compiled kernels, for whoever calls them: generation and training name their own functions and types."""

import ctypes
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import Activation
from ..foundation import compiled

FOLDER = Path(__file__).resolve().parent
GATES: dict[Activation, int] = {"silu": 0, "gelu_tanh": 1, "gelu": 2, "relu2": 3}
"""Kinds of activation, as functions.h numbers them."""
PLACE, COUNT, REAL = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float


def declared(signatures: Mapping[str, list[Any]], loaded: ctypes.CDLL | None = None) -> ctypes.CDLL:
    """The kernels compiled for this processor (or `loaded`), those of `signatures` as methods without the prefix.

    Raises MissingBackend where the installation lacks them.
    """
    found = compiled.load(FOLDER, "nemo-core") if loaded is None else loaded
    for name, types in signatures.items():
        function = found[f"nemo_{name}"]
        function.argtypes, function.restype = types, None
        setattr(found, name, function)
    return found


def take(x: Tensor) -> bool:
    """Whether the kernels read what lies in `x`."""
    return x.dtype == torch.float32 and x.device.type == "cpu"


@cache
def parallel_region() -> int | None:
    """Where the OpenMP library that torch brought starts its threads; None where it is another one."""
    try:
        return ctypes.cast(ctypes.CDLL(None).GOMP_parallel, PLACE).value
    except AttributeError:
        return None


def at(x: Tensor) -> int:
    """Where the numbers of `x` lie. Raises TypeError for what a kernel would misread: another type, or gaps."""
    if x.dtype is not torch.float32 or not x.is_contiguous():
        raise TypeError(f"a kernel wants contiguous numbers of torch.float32, not {x.dtype} with strides {x.stride()}")
    return x.data_ptr()
