"""Words without case, and without signs and digits around them, as hashes: what data-juicer's scores count.

Whatever is neither letter nor mark is a sign here; data-juicer has a list of punctuation, symbols and emoji.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...kernels.characters import classes
from ...kernels.runs import plain_words
from ...kernels.strings import buffers
from ...kernels.words import hash_word

Hashes = npt.NDArray[np.uint64]
Starts = npt.NDArray[np.int64]


def words_of(texts: Sequence[str]) -> tuple[Hashes, Starts]:
    """Hashes of the words of all texts, cut at blanks, tabs and newlines, and where those of each begin."""
    hashes, starts = plain_words(*buffers(pa.array([text.lower() for text in texts], pa.string())), classes())
    return hashes, starts


@cache
def hashes_of(listed: frozenset[str]) -> Hashes:
    """Hashes of the words of a list."""
    return np.array([hash_word(np.frombuffer(word.encode(), np.uint8)) for word in listed], np.uint64)
