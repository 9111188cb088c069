"""Lines, paragraphs and words as NeMo Curator 0.9 looks at them: marks at their ends, and which come twice.

Lines are split at newlines, paragraphs at double ones, and neither is stripped before it is compared.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .library import I64, TEXTS, U8, U64, counted, kernel
from .strings import Bytes, Offsets

Packed = npt.NDArray[np.uint64]

COUNTS = (
    "words",
    "symbols",
    "stop_words",
    "lines",
    "bullets",
    "ellipses",
    "unended",
    "distinct_lines",
    "line_characters",
    "distinct_line_characters",
    "paragraphs",
    "distinct_paragraphs",
    "paragraph_characters",
    "distinct_paragraph_characters",
)


def packed(words: Sequence[str]) -> Packed:
    """Words of seven bytes at most as numbers, as the kernel packs spans."""
    return np.array([int.from_bytes(b"\1" + word.encode(), "big") for word in words], np.uint64)


def joined(endings: Sequence[str]) -> tuple[Bytes, Offsets]:
    """The bytes of all endings, and where each begins and ends among them."""
    parts = [ending.encode() for ending in endings]
    bounds = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    return np.frombuffer(b"".join(parts), np.uint8), bounds.astype(np.int64)


_count = kernel("count_lines", *TEXTS, U64, U64, U64, U64, U8, I64, I64, I64)


def count_lines(
    data: Bytes,
    offsets: Offsets,
    symbols: Packed,
    stop_words: Packed,
    bullets: Packed,
    marks: Packed,
    endings: Bytes,
    bounds: Offsets,
) -> npt.NDArray[np.int64]:
    """COUNTS [14, documents] of the strings in an Arrow buffer."""
    out = np.empty((len(COUNTS), len(offsets) - 1), np.int64)
    few = np.array([len(symbols), len(stop_words), len(bullets), len(marks), len(bounds) - 1], np.int64)
    _count(*counted(data, offsets), symbols, stop_words, bullets, marks, endings, bounds, few, out)
    return out
