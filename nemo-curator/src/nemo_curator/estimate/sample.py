"""A few documents of an input through the real steps of a pipeline, timed and weighed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..columns import filled, schema_behind
from ..document import rejects_table, text_bytes, to_table
from ..pipeline import Pipeline, Step
from ..read.files import InputFile
from ..read.records import Reading, Record, read_file
from ..shards.tally import resident_bytes
from ..shards.work import BATCH_DOCUMENTS, GROUP_BYTES, part, take
from .counting import CountedFile

FILES = 8
WARMING_DOCUMENTS = 8
Batch = tuple[pa.Table, pa.Table]


@dataclass
class Measured:
    """What a step did to the sample; bytes are UTF-8 in memory.

    `draft_bytes` is what its documents take between two segments, `stored_bytes` what they take in Parquet.
    """

    step: str
    documents: int = 0
    bytes: int = 0
    dropped: int = 0
    seconds: float = 0.0
    draft_bytes: int = 0
    stored_bytes: int = 0
    rejected_bytes: int = 0
    waiting: list[pa.Table] = field(default_factory=list, repr=False)

    def store(self, documents: pa.Table) -> None:
        """Weigh documents in row groups as large as a run's."""
        self.waiting.append(documents)
        if sum(each.nbytes for each in self.waiting) >= GROUP_BYTES:
            self.store_rest()

    def store_rest(self) -> None:
        """Weigh the documents that make no whole row group."""
        if self.waiting:
            self.stored_bytes += stored(pa.concat_tables(self.waiting))
            self.waiting = []


@dataclass
class Sample:
    """What was sampled of the input, and what each step did to it."""

    files: int = 0
    input_bytes: int = 0
    whole: bool = False
    documents: int = 0
    steps: list[Measured] = field(default_factory=list)
    resident_bytes: int = 0


def draw(
    files: Sequence[InputFile], pipeline: Pipeline, reading: Reading, *, max_bytes: int, max_seconds: float
) -> Sample:
    """Pass the beginnings of files that lie evenly in the input through the steps, within a time.

    The first documents are passed twice: once untimed, so that what is only loaded or compiled once is not counted.
    """
    chosen = spaced(files)
    opened = [(step, acting(step)) for step in pipeline.steps]
    for documents, _ in records(CountedFile.of(chosen[0]), reading, max_bytes=max_bytes, batch=WARMING_DOCUMENTS):
        passed(documents, opened, [Measured("") for _ in opened])
        break
    sample = Sample(steps=[Measured("read"), *(Measured(step.name) for step, _ in opened)])
    started = perf_counter()
    for file in map(CountedFile.of, chosen):
        if perf_counter() - started > max_seconds:
            break
        ended = measure(file, reading, opened, sample, max_bytes=max_bytes // len(chosen), until=started + max_seconds)
        sample.files += 1
        sample.input_bytes += file.num_bytes if ended else file.used_bytes
    sample.steps[-1].store_rest()
    sample.whole = sample.input_bytes >= sum(file.num_bytes for file in files)
    sample.resident_bytes = resident_bytes()
    return sample


def spaced(files: Sequence[InputFile]) -> list[InputFile]:
    """At most FILES of the files that hold something, evenly spread."""
    filled_files = [file for file in files if file.num_bytes] or list(files)
    count = min(FILES, len(filled_files))
    return [filled_files[(2 * i + 1) * len(filled_files) // (2 * count)] for i in range(count)]


def measure(
    file: CountedFile,
    reading: Reading,
    opened: Sequence[tuple[Step, Callable[[pa.Table], Any]]],
    sample: Sample,
    *,
    max_bytes: int,
    until: float,
) -> bool:
    """Pass the beginning of a file through the steps; whether that was all of it."""
    started = perf_counter()
    for documents, unread in records(file, reading, max_bytes=max_bytes):
        first = sample.steps[0]
        first.seconds += perf_counter() - started
        sample.documents += documents.num_rows + unread.num_rows
        first.documents += documents.num_rows
        first.bytes += text_bytes(documents)
        first.dropped += unread.num_rows
        first.rejected_bytes += stored(unread)
        passed(documents, opened, sample.steps[1:])
        if perf_counter() > until:
            return False
        started = perf_counter()
    return file.read_bytes >= file.num_bytes


def records(file: CountedFile, reading: Reading, *, max_bytes: int, batch: int = BATCH_DOCUMENTS) -> Iterator[Batch]:
    """Batches of a file's documents and rejects, until enough of it has been read."""
    stream: Iterator[Record] = read_file(file, reading)
    taken = 0
    while taken < max_bytes:
        documents, rejects = take(stream)
        if not documents and not rejects:
            return
        taken += sum(document.num_bytes for document in documents) + 1
        yield to_table(documents[:batch]), rejects_table(rejects)


def acting(step: Step) -> Callable[[pa.Table], Any]:
    """The function that a batch passes in a step; of a deduplication, the one that takes its keys."""
    opened = step.settings.open()
    take_keys: Callable[[pa.Table], Any] = getattr(opened, "add", opened)
    return take_keys


def passed(
    documents: pa.Table, opened: Sequence[tuple[Step, Callable[[pa.Table], Any]]], into: Sequence[Measured]
) -> None:
    """Pass a batch through the steps; a deduplication takes its keys of it and drops nothing."""
    done: list[Step] = []
    for (step, act), measured in zip(opened, into, strict=True):
        done.append(step)
        started = perf_counter()
        verdict = act(documents) if documents.num_rows else None
        measured.seconds += perf_counter() - started
        if verdict is not None and not step.compares_documents:
            documents, dropped = part(verdict)
            measured.dropped += dropped.num_rows
            measured.rejected_bytes += stored(dropped)
        measured.documents += documents.num_rows
        measured.bytes += text_bytes(documents)
        if step.compares_documents:
            measured.draft_bytes += filled(documents, schema_behind(done)).nbytes
        if step is opened[-1][0]:
            measured.store(filled(documents, schema_behind(done)))


def stored(rows: pa.Table) -> int:
    """Bytes of rows in Parquet, as a run writes them."""
    if not rows.num_rows:
        return 0
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return int(sink.getvalue().size)
