"""fastText's file format for supervised models, and the words and n-grams that such a model sees in a line.

The layout is that of fastText 0.9 (version 12 of its format): arguments, dictionary, input matrix, output matrix.
"""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt

MAGIC, VERSION = 793712314, 12
SOFTMAX, SUPERVISED = 3, 3
END_OF_LINE = "</s>"
BLANKS = re.compile("[ \t\v\f\r\0]+")
FNV_OFFSET, FNV_PRIME = 2166136261, 16777619
UPDATE_RATE, SAMPLING = 100, 1e-4

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Dictionary:
    """Words, most frequent first, and labels, with how often each occurred."""

    words: dict[str, int]
    labels: dict[str, int]

    @property
    def num_tokens(self) -> int:
        """Words and labels of the training text."""
        return sum(self.words.values()) + sum(self.labels.values())


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a model."""

    dimension: int
    word_ngrams: int
    buckets: int
    epochs: int
    min_count: int


def split(line: str) -> list[str]:
    """The words of a line, and the mark of its end."""
    return [*filter(None, BLANKS.split(line)), END_OF_LINE]


def word_hash(word: str) -> int:
    """FNV-1a over signed bytes, as fastText has it."""
    value = FNV_OFFSET
    for byte in word.encode("utf-8"):
        signed = byte if byte < 128 else byte | 0xFFFFFF00
        value = ((value ^ signed) * FNV_PRIME) & 0xFFFFFFFF
    return value


def write_model(handle: IO[bytes], dictionary: Dictionary, shape: Shape, matrices: tuple[Matrix, Matrix]) -> None:
    """Write a model of float32 matrices: input [words + buckets, dimension] and output [labels, dimension]."""
    handle.write(struct.pack("<ii", MAGIC, VERSION))
    arguments = (
        *(shape.dimension, 5, shape.epochs, shape.min_count, 5, shape.word_ngrams, SOFTMAX, SUPERVISED),
        *(shape.buckets, 0, 0, UPDATE_RATE),
    )
    handle.write(struct.pack("<12id", *arguments, SAMPLING))
    words, labels = len(dictionary.words), len(dictionary.labels)
    handle.write(struct.pack("<iiiqq", words + labels, words, labels, dictionary.num_tokens, -1))
    for kind, entries in ((0, dictionary.words), (1, dictionary.labels)):
        for text, count in entries.items():
            handle.write(text.encode("utf-8") + b"\0" + struct.pack("<qb", count, kind))
    for matrix in matrices:
        handle.write(struct.pack("<?qq", False, *matrix.shape))
        handle.write(np.ascontiguousarray(matrix, np.float32).tobytes())


def ngram_rows(hashes: Sequence[int], *, words: int, shape: Shape) -> list[int]:
    """Rows of the input matrix for the word n-grams of a line, from the hashes of its words."""
    signed = [value - (1 << 32) if value >= 1 << 31 else value for value in hashes]
    rows = []
    for first in range(len(signed)):
        value = signed[first] & 0xFFFFFFFFFFFFFFFF
        for last in range(first + 1, min(first + shape.word_ngrams, len(signed))):
            value = (value * 116049371 + signed[last]) & 0xFFFFFFFFFFFFFFFF
            rows.append(words + value % shape.buckets)
    return rows
