r"""Words as ``re``'s ``\w+`` finds them in lower-case text, and windows of words looked up in a table of hashes."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from .characters import classes
from .library import I64, U64, Address, Number, Text, kernel

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

_find_words = kernel("find_words", Text, Number, Address, Number, U64)
_window_hashes = kernel("window_hashes_of_words", U64, Number, Number, U64)
_build_table = kernel("build_table", U64, Number, Number, U64, I64)
_find_windows = kernel("find_windows", U64, Number, Address, Number, Address, Address, Number, I64)


@dataclass(frozen=True)
class Words:
    """Where the words of a text are, in characters, and their hashes."""

    starts: Numbers
    ends: Numbers
    hashes: Hashes


@cache
def classes_address() -> int:
    """Where the table of classes is; it stays there."""
    return int(classes().ctypes.data)


def find_words(text: bytes) -> Words:
    """The words of one text; of a short one, too, in few microseconds."""
    room = len(text) // 2 + 2
    out = np.empty((3, room), np.uint64)
    count = _find_words(text, len(text), classes_address(), room, out)
    places = out.view(np.int64)
    return Words(places[0, :count], places[1, :count], out[2, :count])


def window_hashes(hashes: Hashes, size: int) -> Hashes:
    """Hashes of all windows of `size` words; never 0."""
    out = np.empty(max(0, len(hashes) - size + 1), np.uint64)
    _window_hashes(hashes, len(hashes), size, out)
    return out


class Lookup:
    """Windows of words, by their hashes, to be found in texts; of each place the longest one that is known."""

    def __init__(self, keys: Hashes, sizes: Numbers) -> None:
        """`sizes` are the words of the windows, longest first."""
        slots = 1 << max(4, (2 * len(keys)).bit_length())
        table, numbers = np.zeros(slots, np.uint64), np.zeros(slots, np.int64)
        _build_table(keys, len(keys), slots, table, numbers)
        self._arrays = (np.ascontiguousarray(sizes, np.int64), table, numbers)
        places = [array.ctypes.data for array in self._arrays]  # taken once: a short text takes microseconds
        self._known = (places[0], len(sizes), places[1], places[2], slots)

    def find(self, hashes: Hashes) -> Numbers:
        """Rows (first word, words, number of the key) of what a text's words hold."""
        found = np.empty((len(hashes), 3), np.int64)
        return found[: _find_windows(hashes, len(hashes), *self._known, found)]
