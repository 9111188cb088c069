"""One shard through one segment of the pipeline: read, pass every batch through the steps, write, tally."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..columns import filled, schema_behind
from ..dedup import keys as dedup_keys
from ..document import REJECT_SCHEMA, SCHEMA, Document, Reject, Verdict, rejects_table, to_table
from ..foundation.atomic import atomic_file
from ..pipeline import Segment
from ..read.records import read_file
from . import plan as plans
from .layout import Layout
from .tally import StepTally, Tally, timed

BATCH_DOCUMENTS = 256
BATCH_BYTES = 8_000_000
Batch = tuple[pa.Table, pa.Table]


def curate_shard(*, root: str, segment: int, shard: int) -> int:
    """Do one shard of one segment, unless that is done; the number of documents it kept."""
    layout = Layout(Path(root))
    plan = plans.load(layout.work)
    steps, last = opened(layout.work, segment)
    schema = columns_of(plan, segment)
    tally = Tally()
    batches = first_batches(plan, shard, tally) if segment == 0 else later_batches(layout, segment, shard, tally)
    keys: list[dedup_keys.Keys] = []
    with ExitStack() as stack:
        kept = Table(stack, layout.documents(shard, segment, last=last is None), schema)
        rejects = Table(stack, layout.rejects(shard, segment), REJECT_SCHEMA)
        for documents, dropped in batches:
            rejects.write(dropped)
            for index, (name, step) in enumerate(steps, 1):
                documents = pass_step(step, documents, tally, tally.step(index, name), rejects)
            documents = filled(documents, schema)
            kept.write(documents)
            if last is not None and documents.num_rows:
                with timed(tally.comparison):
                    keys.append(dedup_keys.with_lengths(last(documents), documents))
            else:
                tally.finished(documents)
        kept.open()
    finish(layout, segment, shard, keys, tally)
    return tally.steps[-1].documents if tally.steps else 0


def columns_of(plan: plans.Plan, segment: int) -> pa.Schema:
    """The columns of documents behind a segment: those of every document, and what the steps so far add."""
    steps = [step for part in plan.pipeline.segments()[: segment + 1] for step in part.alone]
    return schema_behind(steps)


def finish(layout: Layout, segment: int, shard: int, keys: list[dedup_keys.Keys], tally: Tally) -> None:
    """Write the keys, then the tally that marks the shard as done."""
    part = plans.load(layout.work).pipeline.segments()[segment]
    if part.together is not None:
        bands = getattr(part.together.settings, "bands", 2)
        dedup_keys.write(layout.keys(shard, segment), keys, rows=bands + 1)
    tally.save(layout.tally(shard, segment))


class Table:
    """A Parquet file that is begun with its first rows and appears whole when the stack closes."""

    def __init__(self, stack: ExitStack, path: Path, schema: pa.Schema) -> None:
        self._stack, self._path, self._schema = stack, path, schema
        self._writer: pq.ParquetWriter | None = None
        path.unlink(missing_ok=True)

    def open(self) -> pq.ParquetWriter:
        """The writer; a file without rows is a table all the same."""
        if self._writer is None:
            handle = self._stack.enter_context(atomic_file(self._path))
            self._writer = self._stack.enter_context(pq.ParquetWriter(handle, self._schema, compression="zstd"))
        return self._writer

    def write(self, rows: pa.Table) -> None:
        """Append rows."""
        if rows.num_rows:
            self.open().write_table(rows.cast(self._schema).combine_chunks())


@cache
def opened(work: Path, segment: int) -> tuple[list[tuple[str, Callable[[pa.Table], Verdict]]], Any]:
    """The step functions of a segment, and the keyer of the deduplication behind it."""
    part: Segment = plans.load(work).pipeline.segments()[segment]
    alone = [(step.name, step.settings.open()) for step in part.alone]
    return alone, part.together.settings.open() if part.together else None


def first_batches(plan: plans.Plan, shard: int, tally: Tally) -> Iterator[Batch]:
    """Documents read from the shard's files, with the records that could not be."""
    step = tally.step(0, "read")
    for file in plan.shards[shard]:
        tally.bytes_in += file.num_bytes
        records = read_file(file, plan.reading)
        while True:
            with timed(step):
                documents, rejects = take(records)
            if not documents and not rejects:
                break
            tally.documents_in += len(documents) + len(rejects)
            yield count(tally, step, to_table(documents), rejects_table(rejects))


def take(records: Iterator[Document | Reject]) -> tuple[list[Document], list[Reject]]:
    """The next records, as many as make a batch."""
    documents: list[Document] = []
    rejects: list[Reject] = []
    room = BATCH_BYTES
    while room > 0 and len(documents) < BATCH_DOCUMENTS and len(rejects) < BATCH_DOCUMENTS:
        record = next(records, None)
        if record is None:
            break
        if isinstance(record, Reject):
            rejects.append(record)
        else:
            documents.append(record)
            room -= record.num_bytes
    return documents, rejects


def later_batches(layout: Layout, segment: int, shard: int, tally: Tally) -> Iterator[Batch]:
    """Documents that the segment before kept, without those that duplicate another."""
    previous = plans.load(layout.work).pipeline.segments()[segment - 1].together
    assert previous is not None, "only deduplication ends a segment"
    step = tally.step(0, previous.name)
    drops = pq.read_table(layout.drops(shard, segment - 1))
    survivors = dict(zip(drops["row"].to_pylist(), drops["survivor"].to_pylist(), strict=True))
    reason = {"exact_dedup": "exact_duplicate", "fuzzy_dedup": "near_duplicate"}[previous.name]
    first = 0
    with pq.ParquetFile(layout.documents(shard, segment - 1, last=False)) as table:
        for batch in table.iter_batches(batch_size=BATCH_DOCUMENTS):
            documents = pa.Table.from_batches([batch])
            details = [survivors.get(row) for row in range(first, first + documents.num_rows)]
            first += documents.num_rows
            kept, dropped = part(
                Verdict(
                    documents=documents,
                    reason=pa.array([None if d is None else reason for d in details], pa.string()),
                    detail=pa.array([None if d is None else f"of {d}" for d in details], pa.string()),
                )
            )
            yield count(tally, step, kept, dropped)


def pass_step(
    step: Callable[[pa.Table], Verdict], documents: pa.Table, tally: Tally, into: StepTally, rejects: Table
) -> pa.Table:
    """The documents that a step keeps; the others go to the rejects."""
    with timed(into):
        verdict = step(documents) if documents.num_rows else Verdict(documents=documents, reason=pa.nulls(0))
    kept, dropped = part(verdict)
    tally.scored(verdict.scores)
    rejects.write(dropped)
    return count(tally, into, kept, dropped)[0]


def count(tally: Tally, step: StepTally, kept: pa.Table, dropped: pa.Table) -> Batch:
    """The same tables, tallied."""
    tally.kept(step, kept)
    tally.dropped(step, dropped)
    return kept, dropped


def part(verdict: Verdict) -> Batch:
    """The documents of a verdict that stay, and those that are dropped with reason and detail."""
    reason = verdict.reason.cast(pa.string())
    dropped = pc.is_valid(reason)
    detail = verdict.detail if verdict.detail is not None else pa.nulls(len(reason), pa.string())
    rejects = verdict.documents.filter(dropped).select(SCHEMA.names)
    rejects = rejects.append_column("reason", reason.filter(dropped))
    rejects = rejects.append_column("detail", pc.fill_null(detail.filter(dropped), ""))
    return verdict.documents.filter(pc.invert(dropped)), rejects
