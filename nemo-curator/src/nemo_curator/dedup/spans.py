"""Passages that occur more than once among all documents: windows of lines, sentences, paragraphs, words or bytes.

Every window of so many units is hashed (64 bits) and the hashes are sorted by ranges that fit into memory; a window
that has an equal before it is marked, and the union of the marked windows is what is cut out. A substring of n bytes
or more is repeated exactly where all its windows of n bytes are. There is one of these per byte, too many to write
down: first the minimizers of all windows are counted, a few per window's length, and only windows whose minimizer
occurs twice are hashed. The answer is that of a suffix array over all texts (up to collisions of 64-bit hashes),
without one in memory.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..foundation.atomic import atomic_file
from ..kernels.strings import pieces
from ..kernels.units import chosen_windows, minimizers, unit_windows
from ..kernels.words import mixed
from . import keys as key_files
from .columns import Column
from .keys import Keys, Numbers
from .span_settings import Cutting, SubstringDedup

if TYPE_CHECKING:
    from ..shards.compare import Comparison
    from ..shards.layout import Layout

Places = npt.NDArray[np.int32]
"""Of each window [3, windows]: its document in the shard, its first byte there and its end; in files [windows, 3]."""
PLACES, WINDOWS, REPEATED, MARKS, CUTS = "places.npy", "windows.keys", "repeated.npy", "marks.npy", "cuts.parquet"
SORT_BYTES = 48
WINDOWS_AT_ONCE = 1_000_000


class UnitGather:
    """Hashes and places of the windows of a shard's documents; what exceeds some megabytes waits in a file."""

    def __init__(self, unit: int, *, width: int, least: int, recipe: str) -> None:
        self._unit, self._width, self._least, self._recipe = unit, width, least, recipe
        self._hashes, self._places = Column(np.uint64), Column(np.int32)
        self._documents = 0

    def add(self, documents: pa.Table) -> None:
        """Take in a batch."""
        for data, offsets in pieces(documents["text"]):
            hashes, places = unit_windows(data, offsets, self._unit, self._width, self._least)
            self.take(hashes, places, len(offsets) - 1)

    def take(self, hashes: Keys, places: Places, documents: int) -> None:
        """Take in the windows of the next documents, which are counted from 0."""
        places[0] += self._documents
        self._hashes.append(hashes)
        self._places.append(places.T)
        self._documents += documents

    def write(self, path: Path) -> None:
        """Write the windows of the shard."""
        key_files.write_row(path, self._hashes, recipe=self._recipe)
        with atomic_file(places_of(path)) as handle:
            self._places.save(handle, width=3)


class MinimizerGather:
    """Minimizers of a shard's substrings, one for each place that holds one.

    They are mixed once more: the least of many hashes are low, and ranges of keys are to hold about as many each.
    """

    def __init__(self, settings: SubstringDedup) -> None:
        self._settings = settings
        self._found = Column(np.uint64)

    def add(self, documents: pa.Table) -> None:
        """Take in a batch."""
        for data, offsets in pieces(documents["text"]):
            least, places, _ = minimizers(data, offsets, self._settings.length, self._settings.gram)
            fresh = np.ones(len(least), bool)
            fresh[1:] = places[1:] != places[:-1]
            self._found.append(mixed(least[fresh]))

    def write(self, path: Path) -> None:
        """Write the minimizers of the shard."""
        key_files.write_row(path, self._found, recipe=f"minimizers, {self._settings.recipe}")


def places_of(path: Path) -> Path:
    """The file of the places of the windows whose hashes `path` holds."""
    return path.with_name(f"{path.name}.{PLACES}")


def find_repeated(settings: Cutting, comparison: "Comparison") -> dict[str, int]:
    """Write for every shard what is to be cut; how much that is."""
    layout, segment = comparison.layout, comparison.segment
    files = [layout.keys(shard, segment) for shard in range(comparison.shards)]
    if settings.prefilter:
        write_repeated(files, layout.beside(0, segment, REPEATED), memory_bytes=comparison.memory_bytes)
        comparison.each_shard("nemo_curator.dedup.spans:hash_windows")
        files = [layout.beside(shard, segment, WINDOWS) for shard in range(comparison.shards)]
    marks = [layout.beside(shard, segment, MARKS) for shard in range(comparison.shards)]
    mark_repeated(files, marks, keep_first=settings.keep == "first", memory_bytes=comparison.memory_bytes)
    figures = [
        write_cuts(comparison, shard, marks[shard], places_of(files[shard])) for shard in range(comparison.shards)
    ]
    return {"spans": sum(spans for spans, _ in figures), "bytes": sum(num_bytes for _, num_bytes in figures)}


def ranges(files: Sequence[Path], *, memory_bytes: int) -> Iterator[tuple[Keys, Numbers]]:
    """All keys with their numbers (through all files), by ascending ranges of keys that sort within the memory."""
    recipe = key_files.recipe_of(files[0])
    counts = [key_files.open_file(file, recipe=recipe).shape[1] for file in files]
    starts = np.concatenate([[0], np.cumsum(counts)])
    for low, high in key_files.key_ranges(int(starts[-1]) * SORT_BYTES, memory_bytes=memory_bytes):
        keys, numbers = [], []
        for file, start in zip(files, starts[:-1], strict=True):
            for first, some in blocks(file):
                picked = np.flatnonzero((some >= low) & (some <= high))
                keys.append(some[picked])
                numbers.append(picked + (start + first))
        yield joined(keys, np.uint64), joined(numbers, np.int64)


def blocks(path: Path) -> Iterator[tuple[int, Keys]]:
    """The keys of a file, some at a time, each with the number of the first; no page of it stays mapped."""
    count = key_files.open_file(path).shape[1]
    for first in range(0, count, WINDOWS_AT_ONCE):
        yield first, np.array(key_files.open_file(path)[0, first : first + WINDOWS_AT_ONCE])


def joined(parts: list[npt.NDArray[Any]], kind: type) -> npt.NDArray[Any]:
    """The parts end to end; they are let go of."""
    whole = np.concatenate(parts) if parts else np.zeros(0, kind)
    parts.clear()
    return whole


def write_repeated(files: Sequence[Path], path: Path, *, memory_bytes: int) -> None:
    """Write the keys that occur twice or more, in order."""
    found = []
    for keys, _ in ranges(files, memory_bytes=memory_bytes):
        keys.sort()
        again = keys[1:][keys[1:] == keys[:-1]]
        found.append(np.unique(again))
        del keys, _  # the next range is gathered before they would be let go of
    with atomic_file(path) as handle:
        np.save(handle, np.concatenate(found), allow_pickle=False)


def hash_windows(*, root: str, segment: int, shard: int) -> int:
    """Write hash and place of a shard's substrings whose minimizer is repeated; their number."""
    from ..shards import plan as plans
    from ..shards.layout import Layout

    layout = Layout(Path(root))
    step = plans.load(layout.work).pipeline.segments()[segment].together
    assert step is not None
    settings: Any = step.settings
    repeated = np.load(layout.beside(0, segment, REPEATED), mmap_mode="r", allow_pickle=False)
    gather = UnitGather(0, width=settings.length, least=1, recipe=settings.recipe)
    total = 0
    for texts in text_batches(layout, segment, shard):
        for data, offsets in pieces(texts):
            least, _, starts = minimizers(data, offsets, settings.length, settings.gram)
            hashes, places = chosen_windows(data, offsets, settings.length, starts, among(least, repeated))
            gather.take(hashes, places, len(offsets) - 1)
            total += len(hashes)
    gather.write(layout.beside(shard, segment, WINDOWS))
    return total


def text_batches(layout: "Layout", segment: int, shard: int) -> Iterator[pa.ChunkedArray]:
    """The texts of a shard's documents, some at a time."""
    from ..shards import draft

    for batch in draft.batches(layout.documents(shard, segment, last=False), columns=["text"]):
        yield batch["text"]


def among(values: Keys, known: Keys) -> npt.NDArray[np.bool_]:
    """Which values are among the `known` ones, mixed and ascending; neighbours that are equal are looked up once."""
    if not len(known) or not len(values):
        return np.zeros(len(values), bool)
    fresh = np.ones(len(values), bool)
    fresh[1:] = values[1:] != values[:-1]
    wanted = mixed(values[fresh])
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.asarray((known[places] == wanted)[np.cumsum(fresh) - 1])


def mark_repeated(files: Sequence[Path], marks: Sequence[Path], *, keep_first: bool, memory_bytes: int) -> None:
    """Write for every file of hashes a flag per hash: whether it is repeated and not the one that stays."""
    counts = [key_files.open_file(file).shape[1] for file in files]
    starts = np.concatenate([[0], np.cumsum(counts)])
    for path, count in zip(marks, counts, strict=True):
        np.save(path, np.zeros(count, bool), allow_pickle=False)
    for keys, numbers in ranges(files, memory_bytes=memory_bytes):
        marked = repeated_numbers(keys, numbers, keep_first=keep_first)
        bounds = np.searchsorted(marked, starts)
        for path, start, first, last in zip(marks, starts[:-1], bounds[:-1], bounds[1:], strict=True):
            if first < last:
                np.load(path, mmap_mode="r+", allow_pickle=False)[marked[first:last] - start] = True
        del keys, numbers, marked


def repeated_numbers(keys: Keys, numbers: Numbers, *, keep_first: bool) -> Numbers:
    """The numbers, in order, of keys that have an equal before them, or an equal at all."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    same = np.zeros(len(keys), bool)
    same[1:] = keys[1:] == keys[:-1]
    if not keep_first and len(same):
        same[:-1] |= same[1:]
    return np.sort(numbers[order[same]])


def write_cuts(comparison: "Comparison", shard: int, marks: Path, places: Path) -> tuple[int, int]:
    """Write the spans to cut from a shard's documents, for the cutter and for people; their number and bytes."""
    from ..shards.compare import shard_ids

    layout, segment = comparison.layout, comparison.segment
    rows, starts, ends = np.hstack([np.zeros((3, 0), np.int32), *united_parts(marks, places)])
    cuts = pa.table({"row": rows, "start": starts, "end": ends})
    with atomic_file(layout.beside(shard, segment, CUTS)) as handle:
        pq.write_table(cuts, handle)
    named = cuts.set_column(0, "id", shard_ids(comparison, shard).take(pa.array(rows)))
    with atomic_file(layout.spans(shard, segment)) as handle:
        pq.write_table(named, handle)
    return len(rows), int((ends.astype(np.int64) - starts).sum())


def united_parts(marks: Path, places: Path) -> Iterator[Places]:
    """The union of the marked windows of a shard, some documents at a time."""
    count, first = len(np.load(places, mmap_mode="r", allow_pickle=False)), 0
    while first < count:
        marked, windows = (np.load(path, mmap_mode="r", allow_pickle=False) for path in (marks, places))
        last = min(first + WINDOWS_AT_ONCE, count)
        while last < count and windows[last, 0] == windows[last - 1, 0]:
            last += 1
        yield united(np.asarray(windows[first:last])[np.asarray(marked[first:last])].T)
        first = last


def united(places: Places) -> Places:
    """The union of spans, in order of documents: spans of one document that touch become one."""
    order = np.lexsort((places[1], places[0]))
    rows, starts, ends = places[:, order]
    if not len(rows):
        return places
    reach = running_maximum(rows, ends)
    fresh = np.ones(len(rows), bool)
    fresh[1:] = (rows[1:] != rows[:-1]) | (starts[1:] > reach[:-1])
    lasts = np.append(np.flatnonzero(fresh)[1:] - 1, len(rows) - 1)
    return np.stack([rows[fresh], starts[fresh], reach[lasts]])


def running_maximum(rows: npt.NDArray[np.int32], ends: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """For each span the furthest end among those before it in its document."""
    lifted = rows.astype(np.int64) << 32 | ends.astype(np.int64)
    return (np.maximum.accumulate(lifted) & 0xFFFFFFFF).astype(np.int32)
