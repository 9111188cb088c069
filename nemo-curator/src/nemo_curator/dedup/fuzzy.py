"""Documents with nearly the same text, by MinHash signatures cut into bands."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..kernels.minhash import band_keys, signatures
from ..kernels.strings import buffers
from .components import Labels
from .keys import Keys, num_rows, read_rows
from .lsh import permutations
from .settings import FuzzyDedup


def signature(text: pa.Array | pa.ChunkedArray, settings: FuzzyDedup) -> npt.NDArray[np.uint32]:
    """MinHash signatures [documents, bands * rows], equal to those of cuDF's ``Series.str.minhash``."""
    a, b = permutations(count=settings.bands * settings.rows, seed=settings.seed)
    data, offsets = buffers(text)
    return np.asarray(signatures(data, offsets, a, b, settings.width, a[0]))


def keyer(settings: FuzzyDedup) -> Callable[[pa.Table], Keys]:
    """The function from a batch to its band keys [bands, documents]; signatures are never kept."""

    def keys(documents: pa.Table) -> Keys:
        return np.asarray(band_keys(signature(documents["text"], settings), settings.bands))

    return keys


def bands(files: Sequence[Path], members: Labels) -> Iterator[tuple[npt.NDArray[np.uint64], Labels]]:
    """The keys of every band in turn, one in memory at a time."""
    for band in range(num_rows(files) - 1):
        yield read_rows(files, band)[members], members
