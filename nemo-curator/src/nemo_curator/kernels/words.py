"""Hashes of words, as every kernel makes them: FNV-1a's step for each byte, then the finaliser of SplitMix64.

A word is what Python's ``str.split()`` yields; a line is what stands between newlines, stripped and not blank; a
paragraph is what stands between blank lines. Positions are bytes, lengths are characters.
"""

import numpy as np
import numpy.typing as npt

from .library import U8, U64, Number, kernel
from .strings import Bytes

_hash_bytes = kernel("hash_bytes", U8, Number, U64)
_mix_all = kernel("mix_all", U64, Number, U64)


def hash_word(data: Bytes) -> int:
    """The hash of a word."""
    out = np.empty(1, np.uint64)
    _hash_bytes(data, len(data), out)
    return int(out[0])


def mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Other values for the same, each bit of which depends on all bits; different ones stay different."""
    out = np.empty(len(values), np.uint64)
    _mix_all(np.ascontiguousarray(values), len(values), out)
    return out
