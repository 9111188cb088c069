"""Documents with the same text, by a 128-bit digest of it."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .components import Labels
from .keys import Keys, read_rows
from .settings import ExactDedup


def digest(text: str, *, ignore_case_and_space: bool) -> bytes:
    """BLAKE2b-128 of the text, or of its words in lower case."""
    compared = " ".join(text.casefold().split()) if ignore_case_and_space else text
    return hashlib.blake2b(compared.encode(), digest_size=16).digest()


def keyer(settings: ExactDedup) -> Callable[[pa.Table], Keys]:
    """The function from a batch to the two halves of each digest, [2, documents]."""

    def keys(documents: pa.Table) -> Keys:
        digests = [
            digest(text, ignore_case_and_space=settings.ignore_case_and_space) for text in documents["text"].to_pylist()
        ]
        return np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2).T

    return keys


def bands(files: Sequence[Path], members: Labels) -> Iterator[tuple[npt.NDArray[np.uint64], Labels]]:
    """One band: documents in the order of their digests, each with the number of its distinct digest."""
    high, low = read_rows(files, 0)[members], read_rows(files, 1)[members]
    order = np.lexsort((low, high))
    changes = np.zeros(len(order), np.uint64)
    changes[1:] = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
    yield np.cumsum(changes), members[order]
