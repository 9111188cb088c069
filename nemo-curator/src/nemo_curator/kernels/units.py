"""Windows of lines, sentences, paragraphs and words of texts, and of bytes: their hashes and places."""

import numpy as np
import numpy.typing as npt

from .library import FLAGS, I32, I64, TEXTS, U64, Number, counted, kernel
from .strings import Bytes, Offsets

LINES, SENTENCES, PARAGRAPHS, WORDS = 0, 1, 2, 3
Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int32]

_unit_windows = kernel("unit_windows", *TEXTS, Number, Number, Number, Number, U64, I32)
_minimizers = kernel("minimizers", *TEXTS, Number, Number, U64, I64, I64)
_chosen_windows = kernel("chosen_windows", *TEXTS, Number, I64, FLAGS, Number, U64, I32)


def unit_windows(data: Bytes, offsets: Offsets, unit: int, width: int, least: int) -> tuple[Hashes, Places]:
    """Hash, document, first byte and end of every window of `width` units that spans `least` bytes or more.

    A window ends where the next unit begins, so that cutting it out leaves no gap. Bytes are counted in the document.
    """
    room = int(offsets[-1] - offsets[0]) // 2 + len(offsets)  # no unit is without a byte between it and the next
    hashes, places = np.empty(room, np.uint64), np.empty((3, room), np.int32)
    total = _unit_windows(*counted(data, offsets), unit, width, least, room, hashes, places)
    return hashes[:total], places[:, :total]


def minimizers(
    data: Bytes, offsets: Offsets, width: int, gram: int
) -> tuple[Hashes, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For every window of `width` bytes of all texts: the least hash of its `gram`-byte parts, and where that is.

    Equal windows have equal minimizers (Schleimer, Wilkerson, Aiken 2003), and only about two places of
    width - gram + 2 hold one. Also where each text's windows begin.
    """
    assert 1 <= gram <= width
    room = int(offsets[-1] - offsets[0]) + 1
    least, places = np.empty(room, np.uint64), np.empty(room, np.int64)
    starts = np.empty(len(offsets), np.int64)
    count = _minimizers(*counted(data, offsets), width, gram, least, places, starts)
    return least[:count], places[:count], starts


def chosen_windows(
    data: Bytes, offsets: Offsets, width: int, starts: npt.NDArray[np.int64], chosen: npt.NDArray[np.bool_]
) -> tuple[Hashes, Places]:
    """Hash, document, first byte and end of the windows of `width` bytes that are chosen (one flag per window)."""
    assert len(chosen) == starts[-1]
    total = int(np.count_nonzero(chosen))
    hashes, places = np.empty(total, np.uint64), np.empty((3, total), np.int32)
    count = _chosen_windows(*counted(data, offsets), width, starts, np.ascontiguousarray(chosen), total, hashes, places)
    assert count == total
    return hashes, places
