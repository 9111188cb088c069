"""Between two segments: which documents of all shards duplicate another, as rows to drop per shard."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..dedup import survivors
from ..dedup.components import Labels
from ..dedup.keys import KeyTable
from ..document import Verdict
from ..foundation.atomic import atomic_file, write_text
from ..pipeline import Step
from . import draft as drafts
from .layout import Layout
from .pool import Spread

DROPS = pa.schema([("row", pa.int64()), ("survivor", pa.string())])
GROUPS = pa.schema([("id", pa.string()), ("group", pa.string()), ("survivor", pa.bool_())])


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a comparison of all documents works with: the shards of the segment before it, and workers."""

    layout: Layout
    segment: int
    shards: int
    spread: Spread
    memory_bytes: int

    def table(self) -> KeyTable:
        """The keys of all shards."""
        return KeyTable([self.layout.keys(shard, self.segment) for shard in range(self.shards)])

    def each_shard(self, target: str, **arguments: Any) -> None:
        """Call ``module:function`` for every shard, on the workers."""
        common = {"root": str(self.layout.root), "segment": self.segment, **arguments}
        for _ in self.spread.run(target, [{**common, "shard": shard} for shard in range(self.shards)]):
            continue


def compare(comparison: Comparison, step: Step) -> None:
    """Compare the documents of all shards, unless that is done."""
    layout, segment = comparison.layout, comparison.segment
    if layout.compared(segment).is_file():
        return
    settings: Any = step.settings
    act = getattr(settings, "compare", None)
    figures = act(comparison) if act else drop_duplicates(comparison, settings)
    write_text(layout.compared(segment), json.dumps(figures))


def drop_duplicates(comparison: Comparison, settings: Any) -> dict[str, int]:
    """Group the documents, choose survivors, write the drops of every shard and, where wanted, the groups."""
    table = comparison.table()
    if hasattr(settings, "decide"):
        labels, stands_for = settings.decide(comparison)
    else:
        labels = settings.group(comparison)
        stands_for = survivors.choose(labels, survivors.figures(table, settings.survivor), settings.survivor)
    if settings.groups:
        write_groups(comparison, table, labels, stands_for)
    return write_all_drops(comparison, table, stands_for, remove=settings.remove)


def write_all_drops(comparison: Comparison, table: KeyTable, stands_for: Labels, *, remove: bool) -> dict[str, int]:
    """Write for every shard the rows that another document stands for."""
    layout, segment, starts = comparison.layout, comparison.segment, table.starts
    dropped = np.flatnonzero(stands_for != np.arange(len(stands_for)))
    name_of = ids_of(comparison, np.unique(stands_for[dropped]), starts)
    for shard in range(comparison.shards):
        rows = dropped[(dropped >= starts[shard]) & (dropped < starts[shard + 1])] if remove else dropped[:0]
        write_drops(layout.drops(shard, segment), rows - starts[shard], name_of(stands_for[rows]))
    return {"duplicates": len(dropped)}


def write_drops(path: Path, rows: npt.NDArray[Any], names: Any) -> None:
    """Write the rows of one shard to drop, each with the id of what stays in its place."""
    columns = {"row": pa.array(rows, pa.int64()), "survivor": pa.array(names, pa.string())}
    with atomic_file(path) as handle:
        pq.write_table(pa.table(columns, schema=DROPS), handle)


def write_groups(comparison: Comparison, table: KeyTable, labels: Labels, stands_for: Labels) -> None:
    """Write for every shard its documents that are in a group of two or more."""
    layout, starts = comparison.layout, table.starts
    sizes = np.bincount(labels, minlength=len(labels)) if len(labels) else np.zeros(0, np.int64)
    grouped = np.flatnonzero(sizes[labels] > 1)
    name_of = ids_of(comparison, np.unique(labels[grouped]), starts)
    for shard in range(comparison.shards):
        members = grouped[(grouped >= starts[shard]) & (grouped < starts[shard + 1])]
        ids = shard_ids(comparison, shard).take(pa.array(members - starts[shard]))
        columns = {
            "id": ids,
            "group": name_of(labels[members]),
            "survivor": pa.array(stands_for[members] == members),
        }
        with atomic_file(layout.groups(shard, comparison.segment)) as handle:
            pq.write_table(pa.table(columns, schema=GROUPS), handle)


def shard_ids(comparison: Comparison, shard: int) -> pa.Array:
    """Ids of the documents of a shard, in order."""
    return drafts.column(comparison.layout.documents(shard, comparison.segment, last=False), "id")


def ids_of(
    comparison: Comparison, documents: npt.NDArray[Any], starts: npt.NDArray[np.int64]
) -> Callable[[npt.NDArray[Any]], pa.Array]:
    """The function from numbers among `documents` (which ascend) to ids, read shard by shard."""
    owners = np.searchsorted(starts, documents, side="right") - 1
    parts = [
        shard_ids(comparison, int(shard)).take(pa.array(documents[owners == shard] - starts[shard]))
        for shard in np.unique(owners)
    ]
    names = pa.chunked_array(parts, pa.string())
    return lambda numbers: names.take(pa.array(np.searchsorted(documents, numbers))).combine_chunks()


def left_out(layout: Layout, segment: int, shard: int, *, reason: str) -> Callable[[pa.Table], Verdict]:
    """The step that drops, from a shard's batches in order, the rows that duplicate another document."""
    drops = pq.read_table(layout.drops(shard, segment)).combine_chunks()
    rows, names = drops["row"].to_numpy(), drops["survivor"].combine_chunks()
    passed = 0

    def verdict(documents: pa.Table) -> Verdict:
        nonlocal passed
        first, last = np.searchsorted(rows, (passed, passed + documents.num_rows))
        places = np.full(documents.num_rows, -1)
        places[rows[first:last] - passed] = np.arange(first, last)
        survivors = names.take(pa.array(places, mask=places < 0))
        passed += documents.num_rows
        return Verdict(
            documents=documents,
            reason=pc.if_else(pc.is_valid(survivors), reason, None),
            detail=pc.binary_join_element_wise("of", survivors, " "),
        )

    return verdict
