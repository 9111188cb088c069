"""MurmurHash3_x86_32 (Appleby, public domain) of every window of characters, as cuDF's MinHash hashes them.

Windows of ASCII alone, nearly all of most texts, are hashed tile by tile: the mixed 4-byte block that begins at a
byte serves every window it lies in, and the loops over a tile run on vector registers.
"""

import numpy as np
from numba import njit

C1, C2 = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)
TILE = 1024


@njit(cache=True, nogil=True, inline="always")
def rotate(value, bits):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """`value` turned left by `bits` (uint32)."""
    return (value << np.uint32(bits)) | (value >> np.uint32(32 - bits))


@njit(cache=True, nogil=True, inline="always")
def mixed(block):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """A 4-byte block as it enters the hash."""
    return np.uint32(rotate(np.uint32(block * C1), 15) * C2)


@njit(cache=True, nogil=True, inline="always")
def stirred(value, block):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The hash after one more mixed block."""
    return np.uint32(np.uint32(rotate(np.uint32(value ^ block), 13) * np.uint32(5)) + np.uint32(0xE6546B64))


@njit(cache=True, nogil=True, inline="always")
def finished(value, length):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The hash of `length` bytes once all blocks are in."""
    value ^= np.uint32(length)
    value ^= value >> np.uint32(16)
    value = np.uint32(value * np.uint32(0x85EBCA6B))
    value ^= value >> np.uint32(13)
    value = np.uint32(value * np.uint32(0xC2B2AE35))
    return np.uint32(value ^ (value >> np.uint32(16)))


@njit(cache=True, nogil=True, inline="always")
def little_endian(data, at, count):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """`count` (up to 4) bytes from `at` as a number."""
    block = np.uint32(0)
    for i in range(count):
        block |= np.uint32(data[at + i]) << np.uint32(8 * i)
    return np.uint32(block)


@njit(cache=True, nogil=True)
def murmur3_32(data, start, end, seed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The hash of ``data[start:end]``."""
    value = np.uint32(seed)
    blocks = start + ((end - start) & ~3)
    for i in range(start, blocks, 4):
        value = stirred(value, mixed(little_endian(data, i, 4)))
    if end > blocks:
        value ^= mixed(little_endian(data, blocks, end - blocks))
    return finished(value, end - start)


@njit(cache=True, nogil=True)
def tile_hashes(data, start, count, width, seed, blocks, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Hash `count` <= TILE windows of `width` bytes, the first at `start`, into `out`; `blocks` is room to work."""
    whole = width & ~3
    for i in range(count + whole - 4 if whole else 0):
        at = start + i
        blocks[i] = mixed(
            np.uint32(data[at])
            | (np.uint32(data[at + 1]) << np.uint32(8))
            | (np.uint32(data[at + 2]) << np.uint32(16))
            | (np.uint32(data[at + 3]) << np.uint32(24))
        )
    for i in range(count):
        out[i] = seed
    for first in range(0, whole, 4):
        for i in range(count):
            out[i] = stirred(out[i], blocks[i + first])
    if width > whole:
        for i in range(count):
            out[i] ^= mixed(little_endian(data, start + i + whole, width - whole))
    for i in range(count):
        out[i] = finished(out[i], width)


@njit(cache=True, nogil=True)
def after(data, at, end, characters):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The byte behind `characters` characters from `at`, or `end`."""
    for _ in range(characters):
        if at >= end:
            break
        at += 1
        while at < end and (data[at] & 0xC0) == 0x80:
            at += 1
    return at


@njit(cache=True, nogil=True)
def ascii_until(data, at, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The first byte from `at` on that is not ASCII, or `end`."""
    while at + 64 <= end:
        seen = np.uint8(0)
        for i in range(at, at + 64):
            seen |= data[i]
        if seen & 0x80:
            break
        at += 64
    while at < end and data[at] < 0x80:
        at += 1
    return at


@njit(cache=True, nogil=True)
def window_hashes(data, start, end, width, seed, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Hash every window of `width` characters of ``data[start:end]`` into `out`; the number of windows.

    A text shorter than `width` is one window.
    """
    blocks = np.empty(TILE + width, np.uint32)
    count, head = 0, start
    plain = ascii_until(data, start, end)
    tail = after(data, start, end, width) if start < end else end
    while head < end:
        if plain - head >= width:
            while plain - head >= width:
                some = min(TILE, plain - head - width + 1)
                tile_hashes(data, head, some, width, seed, blocks, out[count:])
                count += some
                head += some
            tail = after(data, head, end, width)
            if plain == end:
                return count
        else:
            out[count] = murmur3_32(data, head, tail, seed)
            count += 1
            if tail >= end:
                return count
            tail = after(data, tail, end, 1)
            head = after(data, head, end, 1)
            if plain < head:
                plain = ascii_until(data, head, end)
    return count
