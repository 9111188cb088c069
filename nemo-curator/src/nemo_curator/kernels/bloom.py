"""A Bloom filter (Bloom 1970): a set of 64-bit hashes that may take a stranger for a member, never the reverse."""

import numpy as np
import numpy.typing as npt

from .library import FLAGS, U64, Number, kernel

_test_and_add = kernel("test_and_add", U64, Number, Number, U64, Number, FLAGS)


def test_and_add(
    bits: npt.NDArray[np.uint64],
    num_bits: int,
    num_hashes: int,
    values: npt.NDArray[np.uint64],
    seen: npt.NDArray[np.bool_],
) -> int:
    """Add the values in order and set `seen` where one was there before; how many were not."""
    assert 0 < num_bits <= 64 * len(bits)
    assert len(seen) == len(values)
    return int(_test_and_add(bits, num_bits, num_hashes, np.ascontiguousarray(values), len(values), seen))
