r"""Words as ``re``'s ``\w+`` finds them in lower-case text, and windows of words looked up in a table of hashes."""

import numpy as np
from numba import njit

from .characters import NUMERIC, bits_of, code_point
from .words import PRIME, SEED, mix

EMPTY = np.uint64(0)


@njit(cache=True, nogil=True)
def find_words(data, table, starts, ends, hashes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill the arrays with each word's first character, the one behind its last, and its hash; their number."""
    count, position, i, inside, value = 0, 0, 0, False, SEED
    end = data.shape[0]
    while i < end:
        code, step = code_point(data, i, end)
        if bits_of(code, table) & NUMERIC or code == 95:
            if not inside:
                inside, value = True, SEED
                starts[count] = position
            for k in range(i, i + step):
                value = (value ^ np.uint64(data[k])) * PRIME
        elif inside:
            inside = False
            ends[count], hashes[count] = position, mix(value)
            count += 1
        i += step
        position += 1
    if inside:
        ends[count], hashes[count] = position, mix(value)
        count += 1
    return count


@njit(cache=True, nogil=True)
def window_hash(hashes, first, size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Hash of the `size` words from `first` on; never EMPTY."""
    value = np.uint64(size)
    for i in range(first, first + size):
        value = mix(value * np.uint64(3) + hashes[i])
    return value if value != EMPTY else np.uint64(1)


@njit(cache=True, nogil=True)
def build_table(keys, slots):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Open-addressed table of the keys, and the number of the key in each slot."""
    table, numbers = np.zeros(slots, np.uint64), np.zeros(slots, np.int64)
    last = np.uint64(slots - 1)
    for k in range(keys.shape[0]):
        slot = keys[k] & last
        while table[slot] != EMPTY:
            slot = (slot + np.uint64(1)) & last
        table[slot], numbers[slot] = keys[k], k
    return table, numbers


@njit(cache=True, nogil=True)
def find_windows(hashes, count, sizes, table, numbers):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Rows (first word, words, number of the key) of the longest known window at each word; sizes go downwards."""
    found = np.zeros((max(count, 1), 3), np.int64)
    last = np.uint64(table.shape[0] - 1)
    rows = 0
    for i in range(count):
        for k in range(sizes.shape[0]):
            size = sizes[k]
            if i + size > count:
                continue
            key = window_hash(hashes, i, size)
            slot = key & last
            while table[slot] != EMPTY and table[slot] != key:
                slot = (slot + np.uint64(1)) & last
            if table[slot] == key:
                found[rows, 0], found[rows, 1], found[rows, 2] = i, size, numbers[slot]
                rows += 1
                break
    return found[:rows].copy()
