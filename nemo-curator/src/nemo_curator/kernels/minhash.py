"""MinHash signatures with the hash family of cuDF's ``Series.str.minhash`` (32-bit), bit for bit.

Every window of `width` characters is hashed with MurmurHash3_x86_32 over its UTF-8 bytes; permutation (a, b) maps a
hash h to ``((h*a + b) mod (2**61 - 1)) & 0xffffffff``, and the signature holds the minimum of each. A text shorter
than `width` is one window; an empty one has no window and its signature is all ones.
"""

import numpy as np
from numba import njit

MASK61 = np.uint64((1 << 61) - 1)
EMPTY = np.uint32(0xFFFFFFFF)
TILE = 1024


@njit(cache=True, nogil=True, inline="always")
def _rotate(value, bits):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return (value << np.uint32(bits)) | (value >> np.uint32(32 - bits))


@njit(cache=True, nogil=True)
def murmur3_32(data, start, end, seed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """MurmurHash3_x86_32 (Appleby, public domain) of ``data[start:end]``."""
    c1, c2 = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)
    value = np.uint32(seed)
    blocks = start + ((end - start) & ~3)
    for i in range(start, blocks, 4):
        block = (
            np.uint32(data[i])
            | (np.uint32(data[i + 1]) << np.uint32(8))
            | (np.uint32(data[i + 2]) << np.uint32(16))
            | (np.uint32(data[i + 3]) << np.uint32(24))
        )
        value ^= np.uint32(_rotate(np.uint32(block * c1), 15) * c2)
        value = np.uint32(np.uint32(_rotate(value, 13) * np.uint32(5)) + np.uint32(0xE6546B64))
    tail = np.uint32(0)
    for i in range(end - 1, blocks - 1, -1):
        tail = np.uint32((tail << np.uint32(8)) | np.uint32(data[i]))
    if end > blocks:
        value ^= np.uint32(_rotate(np.uint32(tail * c1), 15) * c2)
    value ^= np.uint32(end - start)
    value ^= value >> np.uint32(16)
    value = np.uint32(value * np.uint32(0x85EBCA6B))
    value ^= value >> np.uint32(13)
    value = np.uint32(value * np.uint32(0xC2B2AE35))
    return np.uint32(value ^ (value >> np.uint32(16)))


@njit(cache=True, nogil=True)
def window_hashes(data, start, end, width, seed, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Hash every window of `width` characters of ``data[start:end]`` into `out`; the number of windows."""
    if start == end:
        return 0
    tail = start
    for _ in range(width):  # `tail` runs `width` characters ahead of `head`
        if tail >= end:
            break
        tail += 1
        while tail < end and (data[tail] & 0xC0) == 0x80:
            tail += 1
    count = 0
    head = start
    while True:
        out[count] = murmur3_32(data, head, tail, seed)
        count += 1
        if tail >= end:
            return count
        tail += 1
        while tail < end and (data[tail] & 0xC0) == 0x80:
            tail += 1
        head += 1
        while (data[head] & 0xC0) == 0x80:
            head += 1


@njit(cache=True, nogil=True)
def lower_minima(hashes, count, a, b, wraps, minima):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Lower `minima` by the permuted values of ``hashes[:count]``; `wraps` says for which (a, b) a residue may wrap.

    With x = h*a + b < 2**63 the residue is t = (x & p) + (x >> 61), less p in the rare case that t >= p. The low 32
    bits of t are those of x + (x >> 61), and of t - p those of one more. Tiles of hashes stay in the first-level
    cache while all permutations pass over them; both inner loops are free of branches and run on vector registers.
    """
    for first in range(0, count, TILE):
        last = min(first + TILE, count)
        for k in range(a.shape[0]):
            a_k, b_k, least = np.uint64(a[k]), np.uint64(b[k]), minima[k]
            if wraps[k]:
                for i in range(first, last):
                    x = np.uint64(hashes[i]) * a_k + b_k
                    t = (x & MASK61) + (x >> np.uint64(61))
                    least = min(least, np.uint32(t + ((t + np.uint64(1)) >> np.uint64(61))))
            else:
                for i in range(first, last):
                    x = np.uint64(hashes[i]) * a_k + b_k
                    least = min(least, np.uint32(x + (x >> np.uint64(61))))
            minima[k] = least


@njit(cache=True, nogil=True)
def may_wrap(a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """For each (a, b), whether some 32-bit h makes t >= p: whether h*a + b can be (k+1)*2**61 - 1 - j, j <= k."""
    found = np.zeros(a.shape[0], np.bool_)
    for i in range(a.shape[0]):
        for k in range(4):
            for j in range(k + 1):
                target = np.uint64(k + 1) * (MASK61 + np.uint64(1)) - np.uint64(1 + j)
                product = target - np.uint64(b[i])
                h = product // np.uint64(a[i])
                found[i] |= h * np.uint64(a[i]) == product and h < np.uint64(1 << 32)
    return found


@njit(cache=True, nogil=True)
def signatures(data, offsets, a, b, width, seed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Signatures [documents, permutations] of the strings in an Arrow buffer; `a` and `b` are uint32."""
    rows = offsets.shape[0] - 1
    minima = np.full((rows, a.shape[0]), EMPTY, np.uint32)
    longest = 1
    for row in range(rows):
        longest = max(longest, offsets[row + 1] - offsets[row])
    hashes = np.empty(longest, np.uint32)
    wraps = may_wrap(a, b)
    for row in range(rows):
        count = window_hashes(data, offsets[row], offsets[row + 1], width, seed, hashes)
        lower_minima(hashes, count, a, b, wraps, minima[row])
    return minima


@njit(cache=True, nogil=True)
def band_keys(minima, bands):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """A 64-bit key [bands, documents] for each band of a signature: equal bands have equal keys.

    The mixing step is the finaliser of MurmurHash3_x64_128; two different bands collide with probability 2**-64.
    """
    documents, permutations = minima.shape
    rows = permutations // bands
    keys = np.empty((bands, documents), np.uint64)
    for document in range(documents):
        for band in range(bands):
            key = np.uint64(band + 1) * np.uint64(0x9E3779B97F4A7C15)
            for k in range(band * rows, (band + 1) * rows):
                key = (key ^ np.uint64(minima[document, k])) * np.uint64(0xFF51AFD7ED558CCD)
                key ^= key >> np.uint64(33)
                key *= np.uint64(0xC4CEB9FE1A85EC53)
                key ^= key >> np.uint64(29)
            keys[band, document] = key
    return keys
