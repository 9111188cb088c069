r"""Words as ``re``'s ``\w+`` finds them in lower-case text, and windows of words looked up in a table of hashes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .characters import classes
from .library import I64, U8, U16, U64, Number, kernel
from .strings import Bytes

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

_find_words = kernel("find_words", U8, Number, U16, I64, I64, U64)
_window_hashes = kernel("window_hashes_of_words", U64, Number, Number, U64)
_build_table = kernel("build_table", U64, Number, Number, U64, I64)
_find_windows = kernel("find_windows", U64, Number, I64, Number, U64, I64, Number, I64)


@dataclass(frozen=True)
class Words:
    """Where the words of a text are, in characters, and their hashes."""

    starts: Numbers
    ends: Numbers
    hashes: Hashes


def find_words(data: Bytes) -> Words:
    """The words of one text."""
    room = len(data) // 2 + 2
    starts, ends, hashes = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.uint64)
    count = _find_words(data, len(data), classes(), starts, ends, hashes)
    return Words(starts[:count], ends[:count], hashes[:count])


def window_hashes(hashes: Hashes, size: int) -> Hashes:
    """Hashes of all windows of `size` words; never 0."""
    out = np.empty(max(0, len(hashes) - size + 1), np.uint64)
    _window_hashes(hashes, len(hashes), size, out)
    return out


def build_table(keys: Hashes, slots: int) -> tuple[Hashes, Numbers]:
    """Open-addressed table of the keys, and the number of the key in each slot; `slots` is a power of two."""
    assert len(keys) < slots == 1 << (slots.bit_length() - 1)
    table, numbers = np.zeros(slots, np.uint64), np.zeros(slots, np.int64)
    _build_table(keys, len(keys), slots, table, numbers)
    return table, numbers


def find_windows(hashes: Hashes, sizes: Numbers, table: Hashes, numbers: Numbers) -> Numbers:
    """Rows (first word, words, number of the key) of the longest known window at each word; sizes go downwards."""
    found = np.empty((len(hashes), 3), np.int64)
    rows = _find_windows(hashes, len(hashes), sizes, len(sizes), table, numbers, len(table), found)
    return found[:rows]
