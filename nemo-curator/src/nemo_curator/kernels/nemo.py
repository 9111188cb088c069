"""N-gram repetition as NeMo Curator 0.9 defines it: characters with the blanks between words, by all characters.

A text with fewer words than an n-gram has counts as nothing but repetition (1.0).
"""

import numpy as np
import numpy.typing as npt

from .library import I64, TEXTS, counted, kernel
from .strings import Bytes, Offsets

_repeat = kernel("repeat_ngrams", *TEXTS, I64, I64)


def repeat_ngrams(data: Bytes, offsets: Offsets) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Per document the spans [3, 2] of the most frequent 2..4-gram and the duplicated characters for 2..10.

    A span of -1 and a number of -1 say that there are too few words.
    """
    rows = len(offsets) - 1
    spans, repeated = np.full((rows, 3, 2), -1, np.int64), np.full((rows, 9), -1, np.int64)
    _repeat(*counted(data, offsets), spans, repeated)
    return spans, repeated
