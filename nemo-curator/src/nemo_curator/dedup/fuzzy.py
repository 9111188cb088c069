"""Documents with nearly the same text, by MinHash signatures cut into bands."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..kernels.minhash import band_keys, signatures, signatures_of_hashes
from ..kernels.shingles import shingle_hashes
from ..kernels.sketch import sketches
from ..kernels.strings import buffers
from .components import Labels, label
from .keys import Keys, KeyTable, Numbers
from .lsh import permutations
from .normal import compared
from .settings import FuzzyDedup

if TYPE_CHECKING:
    from ..shards.compare import Comparison

Text = Any
"""A string column: pa.Array or pa.ChunkedArray."""


def signature(text: Text, settings: FuzzyDedup) -> npt.NDArray[np.uint32]:
    """MinHash signatures [documents, bands * rows]; those of mode=exact equal cuDF's ``Series.str.minhash``.

    Shingles of words are no part of that: their 64-bit hashes are folded and permuted in the same way.
    """
    bands, rows = settings.banding
    count = bands * rows
    if settings.backend == "cudf":
        return cudf_signature(text, settings)
    data, offsets = buffers(text)
    if settings.mode == "fast":
        return np.asarray(sketches(*shingles(text, settings), count, settings.seed))
    a, b = permutations(count=count, seed=settings.seed)
    if settings.shingle == "characters":
        return np.asarray(signatures(data, offsets, a, b, settings.width, a[0]))
    hashes, starts = shingles(text, settings)
    return np.asarray(signatures_of_hashes((hashes >> np.uint64(32)).astype(np.uint32), starts, a, b))


def shingles(text: Text, settings: FuzzyDedup) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """64-bit hashes of the shingles of all texts, and where those of each begin."""
    data, offsets = buffers(text)
    hashes, starts = shingle_hashes(data, offsets, settings.width, settings.shingle == "words")
    return hashes, starts


def cudf_signature(text: Text, settings: FuzzyDedup) -> npt.NDArray[np.uint32]:
    """Signatures computed on a GPU."""
    from ..backends import frames

    bands, rows = settings.banding
    a, b = permutations(count=bands * rows, seed=settings.seed)
    backend: Any = frames(settings.backend)
    return np.asarray(backend.minhash(text, a=a, b=b, width=settings.width))


def keyer(settings: FuzzyDedup) -> Callable[[pa.Table], Keys]:
    """The function from a batch to its band keys [bands, documents]; signatures are never kept."""

    def keys(documents: pa.Table) -> Keys:
        texts = compared(documents, ignore_case_and_space=settings.ignore_case_and_space)
        return np.asarray(band_keys(signature(texts, settings), settings.banding[0]))

    return keys


def bands(table: KeyTable, *, memory_bytes: int) -> Iterator[tuple[Keys, Numbers]]:
    """The keys of every band in turn, in passes that stay within `memory_bytes`."""
    for band in range(table.num_keys):
        for (keys,), members in table.passes((band,), memory_bytes=memory_bytes):
            yield keys, members


def group(settings: FuzzyDedup, comparison: "Comparison") -> Labels:
    """The first document of the component of each one."""
    table = comparison.table()
    found = bands(table, memory_bytes=comparison.memory_bytes)
    if settings.verify:
        from .verify import label_verified

        return label_verified(settings, comparison)
    if settings.backend == "cudf":
        from ..backends import frames

        backend: Any = frames(settings.backend)
        return np.asarray(backend.label(table.num_documents, found))
    return label(table.num_documents, found)
