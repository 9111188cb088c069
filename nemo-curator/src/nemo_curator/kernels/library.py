"""The compiled kernels: a library of C that is built with the package, loaded once, called without the GIL.

Kernels take addresses of contiguous arrays and lengths. Here the types of what they are given are checked, and what
they return is turned into an answer or an error.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..foundation import compiled
from ..foundation.errors import InputError

FOLDER = Path(__file__).resolve().parent
NO_MEMORY, BAD_OFFSETS = -1, -2
Number = ctypes.c_int64
Hash = ctypes.c_uint64
Real = ctypes.c_double
Text = ctypes.c_char_p
Address = ctypes.c_void_p


class Array:
    """A kind of argument: a contiguous array of one type, passed as the address of its first element."""

    def __init__(self, kind: Any) -> None:
        self.dtype = np.dtype(kind)

    def from_param(self, array: npt.NDArray[Any]) -> Any:
        """What ctypes passes. Raises TypeError for an array of another type, or with gaps."""
        if array.dtype != self.dtype or not array.flags.c_contiguous:
            raise TypeError(f"a kernel wants a contiguous array of {self.dtype}, not {array.dtype} {array.strides}")
        if array.size and array.flags.writeable:
            return ctypes.byref(ctypes.c_char.from_buffer(array.data))
        return ctypes.c_void_p(array.ctypes.data)


U8, U16, U32, U64 = Array(np.uint8), Array(np.uint16), Array(np.uint32), Array(np.uint64)
I32, I64, F32, F64, FLAGS = Array(np.int32), Array(np.int64), Array(np.float32), Array(np.float64), Array(np.bool_)
TEXTS = (U8, Number, I64, Number)
"""Bytes, how many, offsets, how many strings: what `counted` makes of the buffers of a column."""


def counted(values: npt.NDArray[Any], starts: npt.NDArray[np.int64]) -> tuple[Any, int, npt.NDArray[np.int64], int]:
    """Values that belong to rows, with their number and that of the rows."""
    return values, len(values), starts, len(starts) - 1


def kernel(name: str, *kinds: Any, result: Any = Number) -> Callable[..., Any]:
    """The compiled function of this name; InputError and MemoryError say what it could not do."""
    function = library()[name]
    function.argtypes, function.restype = kinds, result
    if result is Number:
        function.errcheck = checked  # type: ignore[assignment]
    return function


def checked(answer: int, function: Any, arguments: Any) -> int:
    """The answer of a kernel, unless it is an error."""
    if answer == NO_MEMORY:
        raise MemoryError(f"{function.__name__}: no memory for the largest text")
    if answer == BAD_OFFSETS:
        raise InputError(
            "offsets of a string column do not ascend within its data; the Arrow or Parquet file is damaged"
        )
    return answer


@cache
def library() -> ctypes.CDLL:
    """The library of this machine. Raises MissingBackend where there is none."""
    return compiled.load(FOLDER, "nemo-curator")
