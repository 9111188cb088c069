"""64-bit hashes of shingles: windows of characters or of words, by a polynomial that rolls over them.

The hash of a window is ``sum(code[j] * BASE**(width-1-j)) mod 2**64`` over the mixed codes of its characters (or the
hashes of its words), mixed once more; so each costs a few operations, whatever the width. A text shorter than a
window is one window.
"""

import numpy as np
import numpy.typing as npt

from .library import I64, TEXTS, U64, Number, counted, kernel
from .strings import Bytes, Offsets

_shingle_hashes = kernel("shingle_hashes", *TEXTS, Number, Number, U64, I64)


def shingle_hashes(
    data: Bytes, offsets: Offsets, width: int, words: bool
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Hashes of the shingles of all strings of an Arrow buffer, end to end, and where each string's begin.

    `words` says whether windows are of words or of characters.
    """
    out, starts = np.empty(offsets[-1] - offsets[0], np.uint64), np.empty(len(offsets), np.int64)
    count = _shingle_hashes(*counted(data, offsets), width, words, out, starts)
    return out[:count], starts
