"""Candidates united only where the true Jaccard similarity of their shingles says so.

In every bucket of documents with an equal band, the first one not yet matched leads: it takes those that are as
similar to it as is asked, the first of the others leads next, a few times. So a false candidate unites nothing, and
the number of comparisons grows with the documents, not with their pairs. Texts of candidates alone are laid out in
files that are mapped into memory.
"""

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..foundation.atomic import atomic_file
from ..kernels.sets import jaccard
from .components import Labels, flatten, join, root_of, singletons
from .keys import Keys, KeyTable, Numbers
from .normal import compared
from .settings import FuzzyDedup

if TYPE_CHECKING:
    from ..shards.compare import Comparison

LEADERS = 8
OPEN_FILES = 128
CANDIDATES, TEXTS = "candidates.npy", "texts.arrow"


def label_verified(settings: FuzzyDedup, comparison: "Comparison") -> Labels:
    """The first document of the verified component of each one."""
    from .fuzzy import bands

    table = comparison.table()
    mark_candidates(comparison, table)
    comparison.each_shard("nemo_curator.dedup.verify:keep_texts")
    texts = Texts(comparison, table, settings)
    parents = singletons(table.num_documents)
    for keys, members in bands(table, memory_bytes=comparison.memory_bytes):
        left = bucketed(keys, members)
        for _ in range(LEADERS):
            pairs = led_pairs(*left)
            if not len(pairs):
                break
            matched = match(parents, pairs, texts, settings.jaccard)
            left = unmatched(*left, pairs[matched, 1])
    flatten(parents)
    return parents


def mark_candidates(comparison: "Comparison", table: KeyTable) -> None:
    """Note for every shard the rows of documents that share a band with another."""
    from .fuzzy import bands

    wanted = np.zeros(table.num_documents, bool)
    for keys, members in bands(table, memory_bytes=comparison.memory_bytes):
        wanted[bucketed(keys, members)[1]] = True
    for shard in range(comparison.shards):
        path = comparison.layout.beside(shard, comparison.segment, CANDIDATES)
        with atomic_file(path) as handle:
            np.save(handle, wanted[table.starts[shard] : table.starts[shard + 1]], allow_pickle=False)


def keep_texts(*, root: str, segment: int, shard: int) -> int:
    """Lay out the texts of a shard's candidates, as they are compared; their number."""
    from ..shards import draft
    from ..shards import plan as plans
    from ..shards.layout import Layout

    layout = Layout(Path(root))
    step = plans.load(layout.work).pipeline.segments()[segment].together
    assert step is not None
    settings: Any = step.settings
    wanted = np.load(layout.beside(shard, segment, CANDIDATES), allow_pickle=False)
    schema = pa.schema([("text", pa.large_string())])
    row = 0
    with (
        atomic_file(layout.beside(shard, segment, TEXTS)) as handle,
        pa.ipc.new_file(handle, schema) as out,
    ):
        for batch in draft.batches(layout.documents(shard, segment, last=False), columns=["text"]):
            picked = batch.filter(pa.array(wanted[row : row + batch.num_rows]))
            row += batch.num_rows
            texts = compared(picked, ignore_case_and_space=settings.ignore_case_and_space)
            out.write_table(pa.table({"text": texts.cast(pa.large_string())}))
    return int(wanted.sum())


def bucketed(keys: Keys, members: Numbers) -> tuple[Keys, Numbers]:
    """Keys and members of buckets with two members or more, in order of keys, then of members."""
    order = np.argsort(keys, kind="stable")
    return repeated(keys[order], members[order])


def repeated(keys: Keys, members: Numbers) -> tuple[Keys, Numbers]:
    """Those whose key, in sorted keys, is not alone."""
    same = keys[1:] == keys[:-1]
    several = np.zeros(len(keys), bool)
    several[1:] |= same
    several[:-1] |= same
    return keys[several], members[several]


def led_pairs(keys: Keys, members: Numbers) -> Numbers:
    """Pairs [n, 2] of the first member of every bucket and each of the others."""
    leads = np.ones(len(keys), bool)
    leads[1:] = keys[1:] != keys[:-1]
    leaders = members[leads][np.cumsum(leads) - 1]
    return np.stack([leaders[~leads], members[~leads]], axis=1)


def unmatched(keys: Keys, members: Numbers, matched: Numbers) -> tuple[Keys, Numbers]:
    """What is left of buckets without their leaders and without the members that these took."""
    leads = np.ones(len(keys), bool)
    leads[1:] = keys[1:] != keys[:-1]
    taken = np.zeros(len(keys), bool)
    taken[~leads] = np.isin(members[~leads], matched)
    return repeated(keys[~leads & ~taken], members[~leads & ~taken])


def match(parents: Labels, pairs: Numbers, texts: "Texts", least: float) -> npt.NDArray[np.bool_]:
    """Which pairs are in one component, uniting those that are as similar as `least`."""
    found = np.zeros(len(pairs), bool)
    for number, (leader, member) in enumerate(pairs.tolist()):
        if root_of(parents, leader) == root_of(parents, member):
            found[number] = True
        elif jaccard(texts.shingles(leader), texts.shingles(member)) >= least:
            join(parents, leader, member)
            found[number] = True
    return found


class Texts:
    """Sets of shingles of candidates, by the number of the document; the last few are kept."""

    def __init__(self, comparison: "Comparison", table: KeyTable, settings: FuzzyDedup) -> None:
        self._comparison, self._starts, self._settings = comparison, table.starts, settings
        self._files: OrderedDict[int, tuple[pa.ChunkedArray, npt.NDArray[np.int64]]] = OrderedDict()
        self._sets: OrderedDict[int, Keys] = OrderedDict()

    def shingles(self, document: int) -> Keys:
        """The sorted 64-bit hashes of the shingles of a document."""
        from .fuzzy import shingles

        found = self._sets.get(document)
        if found is None:
            found = np.unique(shingles(self._text(document), self._settings)[0])
            keep(self._sets, document, found)
        else:
            self._sets.move_to_end(document)
        return found

    def _text(self, document: int) -> pa.ChunkedArray:
        shard = int(np.searchsorted(self._starts, document, side="right")) - 1
        if shard not in self._files:
            keep(self._files, shard, self._open(shard))
        texts, places = self._files[shard]
        return texts.slice(int(places[document - self._starts[shard]]), 1)

    def _open(self, shard: int) -> tuple[pa.ChunkedArray, npt.NDArray[np.int64]]:
        layout, segment = self._comparison.layout, self._comparison.segment
        with pa.memory_map(str(layout.beside(shard, segment, TEXTS))) as source:
            texts = pa.ipc.open_file(source).read_all()["text"]
        wanted = np.load(layout.beside(shard, segment, CANDIDATES), allow_pickle=False)
        return texts, np.cumsum(wanted) - 1


def keep(store: "OrderedDict[int, Any]", key: int, value: Any) -> None:
    """Add to a store of bounded size; what was used least recently goes."""
    store[key] = value
    if len(store) > OPEN_FILES:
        store.popitem(last=False)
