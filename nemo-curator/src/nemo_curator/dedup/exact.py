"""Documents with the same text, address, title or id, by a 128-bit digest of it."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa

from ..kernels.strings import buffers
from .components import Labels, label
from .keys import Keys, KeyTable, Numbers
from .normal import compared
from .settings import ExactDedup


def keyer(settings: ExactDedup) -> Callable[[pa.Table], Keys]:
    """The function from a batch to the two halves of each BLAKE2b-128 digest, [2, documents]."""

    def keys(documents: pa.Table) -> Keys:
        texts = compared(documents, ignore_case_and_space=settings.ignore_case_and_space, column=settings.column)
        data, offsets = buffers(texts)
        text, ends = data.data, offsets.tolist()  # no text is copied
        digests = b"".join(hashlib.blake2b(text[a:b], digest_size=16).digest() for a, b in pairwise(ends))
        return np.frombuffer(digests, np.uint64).reshape(-1, 2).T

    return keys


def numbered(table: KeyTable, *, memory_bytes: int) -> Iterator[tuple[Keys, Numbers]]:
    """Documents in the order of their digests, each with the number of its distinct digest."""
    for (high, low), members in table.passes((0, 1), memory_bytes=memory_bytes):
        order = np.lexsort((low, high))
        changes = np.zeros(len(order), np.uint64)
        changes[1:] = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
        yield np.cumsum(changes), members[order]


def group(table: KeyTable, *, memory_bytes: int) -> Labels:
    """The first document with the text of each one."""
    return label(table.num_documents, numbered(table, memory_bytes=memory_bytes))
