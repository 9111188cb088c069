"""One shard through one segment of the pipeline: read, pass every batch through the steps, write, tally."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..columns import filled, schema_behind
from ..document import REJECT_SCHEMA, SCHEMA, Document, Reject, Verdict, rejects_table, to_table
from ..foundation.atomic import atomic_file
from ..pipeline import Segment
from ..read.files import InputFile
from ..read.records import Reading, read_file
from . import draft
from . import plan as plans
from .compare import left_out
from .layout import Layout
from .tally import StepTally, Tally, timed

BATCH_DOCUMENTS = 256
BATCH_REJECTS = 4096
BATCH_BYTES = 8_000_000
GROUP_BYTES = 8_000_000
DISTINCT = ("id", "text", "url", "title", "source", "source_id", "metadata", "detail")
"""Columns whose values seldom come twice, so that a dictionary of them is no use."""
Batch = tuple[pa.Table, pa.Table]
Read = Callable[[plans.Plan, int, Tally], Iterator[Batch]]


def curate_shard(*, root: str, segment: int, shard: int, read: Read | None = None) -> int:
    """Do one shard of one segment; the number of documents it kept. `read` yields other documents than its files'."""
    layout = Layout(Path(root))
    plan = plans.load(layout.work)
    steps = opened(layout.work, segment, plans.stamp(layout.work))
    together = plan.pipeline.segments()[segment].together
    gather = together.settings.open() if together else None
    schema = columns_of(plan, segment)
    tally = Tally()
    with ExitStack() as stack:
        kept = opened_output(stack, layout.documents(shard, segment, last=gather is None), schema, last=gather is None)
        rejects = Table(stack, layout.rejects(shard, segment), REJECT_SCHEMA, group_bytes=GROUP_BYTES)
        first = (read or first_batches)(plan, shard, tally)
        batches = later_batches(layout, segment, shard, tally, rejects) if segment else first
        for documents, dropped in batches:
            rejects.write(dropped)
            for index, (name, step) in enumerate(steps, 1):
                documents = pass_step(step, documents, tally, tally.step(index, name), rejects)
            documents = filled(documents, schema)
            kept.write(documents)
            if gather is None:
                tally.finished(documents)
            elif documents.num_rows:
                with timed(tally.comparison):
                    gather.add(documents)
    if gather is not None:
        gather.write(layout.keys(shard, segment))
    tally.save(layout.tally(shard, segment))
    return tally.steps[-1].documents if tally.steps else 0


def columns_of(plan: plans.Plan, segment: int) -> pa.Schema:
    """The columns of documents behind a segment: those of every document, and what the steps so far add."""
    steps = [step for part in plan.pipeline.segments()[: segment + 1] for step in part.alone]
    return schema_behind(steps)


def opened_output(stack: ExitStack, path: Path, schema: pa.Schema, *, last: bool) -> "draft.Draft | Table":
    """Where a segment's documents go; a file without rows is a table all the same."""
    if not last:
        return draft.Draft(stack, path, schema)
    table = Table(stack, path, schema, group_bytes=GROUP_BYTES)
    table.open()
    return table


class Table:
    """A Parquet file that is begun with its first rows and appears whole when the stack closes.

    A row group gathers `group_bytes` of rows or more.
    """

    def __init__(self, stack: ExitStack, path: Path, schema: pa.Schema, *, group_bytes: int = 0) -> None:
        self._stack, self._path, self._schema, self._group_bytes = stack, path, schema, group_bytes
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        path.unlink(missing_ok=True)

    def open(self) -> pq.ParquetWriter:
        """The writer; a file without rows is a table all the same."""
        if self._writer is None:
            handle = self._stack.enter_context(atomic_file(self._path))
            few = [name for name in self._schema.names if name not in DISTINCT]
            writer = pq.ParquetWriter(handle, self._schema, compression="zstd", use_dictionary=few)
            self._writer = self._stack.enter_context(writer)
            self._stack.push(self._write_rest)
        return self._writer

    def write(self, rows: pa.Table) -> None:
        """Append rows."""
        if rows.num_rows:
            self.open()
            self._waiting.append(rows.cast(self._schema))
            self._waiting_bytes += rows.nbytes
            if self._waiting_bytes >= self._group_bytes:
                self._write_group()

    def _write_group(self) -> None:
        if self._waiting:
            self.open().write_table(pa.concat_tables(self._waiting).combine_chunks())
            self._waiting, self._waiting_bytes = [], 0

    def _write_rest(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self._write_group()


@lru_cache(maxsize=4)
def opened(work: Path, segment: int, written: tuple[int, int]) -> list[tuple[str, Callable[[pa.Table], Verdict]]]:
    """The step functions of a segment."""
    part: Segment = plans.load_stamped(work, written).pipeline.segments()[segment]
    return [(step.name, step.settings.open()) for step in part.alone]


def first_batches(plan: plans.Plan, shard: int, tally: Tally) -> Iterator[Batch]:
    """Documents read from the shard's files, with the records that could not be."""
    for file in plan.shards[shard]:
        tally.bytes_in += file.num_bytes
        yield from file_batches(file, plan.reading, tally)


def file_batches(file: InputFile, reading: Reading, tally: Tally, *, most: int = BATCH_DOCUMENTS) -> Iterator[Batch]:
    """The documents of a file, `most` in a batch, with the records that are none."""
    step = tally.step(0, "read")
    records = read_file(file, reading)
    while True:
        with timed(step):
            documents, rejects = take(records, most=most)
        if not documents and not rejects:
            return
        tally.documents_in += len(documents) + len(rejects)
        yield count(tally, step, to_table(documents), rejects_table(rejects))


def take(records: Iterator[Document | Reject], *, most: int = BATCH_DOCUMENTS) -> tuple[list[Document], list[Reject]]:
    """The next records, as many as make a batch."""
    documents: list[Document] = []
    rejects: list[Reject] = []
    room = BATCH_BYTES
    while room > 0 and len(documents) < most and len(rejects) < BATCH_REJECTS:
        record = next(records, None)
        if record is None:
            break
        if isinstance(record, Reject):
            rejects.append(record)
        else:
            documents.append(record)
            room -= record.num_bytes
    return documents, rejects


def later_batches(layout: Layout, segment: int, shard: int, tally: Tally, rejects: Table) -> Iterator[Batch]:
    """Documents that the segment before kept, without what duplicates another."""
    previous = plans.load(layout.work).pipeline.segments()[segment - 1].together
    assert previous is not None, "only deduplication ends a segment"
    settings: Any = previous.settings
    removal = getattr(settings, "removal", None)
    step = (
        removal(layout, segment - 1, shard) if removal else left_out(layout, segment - 1, shard, reason=settings.reason)
    )
    for documents in draft.batches(layout.documents(shard, segment - 1, last=False)):
        yield pass_step(step, documents, tally, tally.step(0, previous.name), rejects), REJECT_SCHEMA.empty_table()


def pass_step(
    step: Callable[[pa.Table], Verdict], documents: pa.Table, tally: Tally, into: StepTally, rejects: Table
) -> pa.Table:
    """The documents that a step keeps; the others go to the rejects."""
    with timed(into):
        verdict = step(documents) if documents.num_rows else Verdict(documents=documents, reason=pa.nulls(0))
    kept, dropped = part(verdict)
    tally.judged(verdict)
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
    if reason.null_count == len(reason):
        return verdict.documents, REJECT_SCHEMA.empty_table()
    detail = verdict.detail if verdict.detail is not None else pa.nulls(len(reason), pa.string())
    rejects = verdict.documents.filter(dropped).select(SCHEMA.names)
    rejects = rejects.append_column("reason", reason.filter(dropped))
    rejects = rejects.append_column("detail", pc.fill_null(detail.filter(dropped), ""))
    return verdict.documents.filter(pc.invert(dropped)), rejects
