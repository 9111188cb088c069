"""A Bloom filter (Bloom 1970): a set of 64-bit hashes that may take a stranger for a member, never the reverse."""

import numpy as np
from numba import njit

from .words import mix


@njit(cache=True, nogil=True)
def test_and_add(bits, num_bits, num_hashes, values, seen):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Add the values in order and set `seen` where one was there before; how many were not.

    The places of a value are ``first + i * second mod num_bits`` (Kirsch, Mitzenmacher 2008).
    """
    fresh = 0
    for i in range(values.shape[0]):
        first = mix(values[i])
        second = mix(first ^ np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
        known = True
        for _ in range(num_hashes):
            place = first % num_bits
            word, bit = np.int64(place >> np.uint64(6)), np.uint64(1) << (place & np.uint64(63))
            if bits[word] & bit == 0:
                known = False
                bits[word] |= bit
            first += second
        seen[i] = known
        fresh += not known
    return fresh
