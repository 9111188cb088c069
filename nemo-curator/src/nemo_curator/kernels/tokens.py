"""Words as a linguist's tokenizer cuts them: runs of letters, digits and marks; runs of one other character.

This is what stands in for spaCy's tokenizer where datatrove's rules are applied: punctuation is a word of its own. As
there, one ASCII sign within a word belongs to it (``3.5``, ``os.path``, ``f(x``), but for commas, hyphens and slashes
between letters, a sign of ``:<>=/`` before a letter, and a full stop before a capital.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .characters import classes
from .library import I64, U8, U16, U64, Number, kernel
from .strings import Bytes

OTHER, SYMBOL, WITH_LETTER = 0, 1, 2

_cut = kernel("cut_tokens", U8, Number, U16, I64, I64, I64, U64, I64)


@dataclass(frozen=True)
class Tokens:
    """Where the tokens of a text are, in bytes, their lengths in characters, hashes and kinds."""

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]
    kinds: npt.NDArray[np.int64]


def split_tokens(data: Bytes) -> Tokens:
    """The tokens of one text."""
    room = len(data)
    starts, ends, lengths, kinds = (np.empty(room, np.int64) for _ in range(4))
    hashes = np.empty(room, np.uint64)
    count = _cut(data, room, classes(), starts, ends, lengths, hashes, kinds)
    return Tokens(starts[:count], ends[:count], lengths[:count], hashes[:count], kinds[:count])
