"""Documents written in order into files of a stated size, with equal bytes however they came in."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..columns import filled
from ..document import REJECT_SCHEMA
from ..foundation.atomic import atomic_file
from ..foundation.settings import to_plain
from ..request import begun
from ..shards.tally import Tally
from ..shards.work import Table
from ..tables.report import figures, write_report
from .settings import Writing

ROW_GROUP = 1024


@dataclass(frozen=True, kw_only=True)
class Arranged:
    """What was written."""

    output: Path
    documents_in: int
    documents_out: int
    files: int


class Parts:
    """The files of an artifact, begun one after the other."""

    def __init__(self, folder: Path, schema: pa.Schema, settings: Writing) -> None:
        self.schema, self.tally, self.files, self.folder = schema, Tally(), 0, folder
        self._max_rows, self._max_bytes = settings.rows_per_file, settings.bytes_per_file
        self._pending: list[pa.Table] = []
        self._stack = ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self._rows = self._bytes = self._waiting = 0
        self._rejects = Table(self._stack, folder / "rejects" / "part-00000-0.parquet", REJECT_SCHEMA)

    def read(self, documents: pa.Table, unread: pa.Table) -> None:
        """Count what was read, and keep what could not be."""
        self.tally.documents_in += documents.num_rows + unread.num_rows
        step = self.tally.step(0, "read")
        self.tally.kept(step, documents)
        self.tally.dropped(step, unread)
        self._rejects.write(unread)

    def drop(self, rejects: pa.Table, *, step: str) -> None:
        """Count what a step could not use, and keep it."""
        self.tally.dropped(self.tally.step(1, step), rejects)
        self._rejects.write(rejects)

    def write(self, rows: pa.Table, *, step: str) -> None:
        """Append rows, cut where a file is full."""
        self.tally.kept(self.tally.step(1, step), rows)
        self.tally.finished(rows)
        rows = filled(rows, self.schema).cast(self.schema)
        while rows.num_rows:
            room = self._room(rows)
            if room == 0:
                self._end_file()
                continue
            self._pending.append(rows.slice(0, room))
            self._rows, self._waiting = self._rows + room, self._waiting + room
            self._bytes += bytes_of(rows.slice(0, room)) if self._max_bytes else 0
            rows = rows.slice(room)
            self._flush(whole_groups=True)

    def _room(self, rows: pa.Table) -> int:
        """How many of the rows still go into this file."""
        room: int = rows.num_rows if self._max_rows is None else min(rows.num_rows, self._max_rows - self._rows)
        if self._max_bytes is None or room == 0:
            return room
        sizes = pc.cumulative_sum(pc.binary_length(rows["text"].slice(0, room)).cast(pa.int64()))
        fitting = int(pc.sum(pc.less_equal(pc.add(sizes, self._bytes), self._max_bytes)).as_py() or 0)
        return fitting or int(self._rows == 0)

    def _flush(self, *, whole_groups: bool) -> None:
        """Write what waits, in groups of ROW_GROUP rows."""
        if self._waiting < ROW_GROUP and whole_groups:
            return
        waiting = pa.concat_tables(self._pending) if self._pending else self.schema.empty_table()
        cut = waiting.num_rows // ROW_GROUP * ROW_GROUP if whole_groups else waiting.num_rows
        for first in range(0, cut, ROW_GROUP):
            group = waiting.slice(first, min(ROW_GROUP, cut - first)).combine_chunks()
            self._open().write_table(group, row_group_size=ROW_GROUP)
        self._pending, self._waiting = [waiting.slice(cut)], waiting.num_rows - cut

    def _open(self) -> pq.ParquetWriter:
        if self._writer is None:
            self._file = ExitStack()
            handle = self._file.enter_context(atomic_file(self.folder / "data" / f"part-{self.files:05d}.parquet"))
            self._writer = self._file.enter_context(pq.ParquetWriter(handle, self.schema, compression="zstd"))
            self.files += 1
        return self._writer

    def _end_file(self) -> None:
        self._flush(whole_groups=False)
        if self._writer is not None:
            self._file.close()
        self._writer, self._rows, self._bytes = None, 0, 0

    def close(self) -> None:
        """End the last file; an artifact without documents has one without rows."""
        self.tally.step(1, self.tally.steps[1].step if len(self.tally.steps) > 1 else "write")
        self._flush(whole_groups=False)
        if self.files == 0:
            self._open()
        self._end_file()
        self._stack.close()

    def abandon(self, error: BaseException) -> None:
        """Remove the files that are not whole."""
        for stack in (self._file if self._writer is not None else ExitStack(), self._stack):
            try:
                stack.__exit__(type(error), error, error.__traceback__)
            except BaseException as again:
                if again is not error:
                    raise


def bytes_of(rows: pa.Table) -> int:
    """UTF-8 bytes of the texts."""
    return int(pc.sum(pc.binary_length(rows["text"])).as_py() or 0)


@contextmanager
def writing(
    settings: Writing, schema: pa.Schema, *, step: str, inputs: Mapping[str, Path], output: Path | None = None
) -> Iterator[Parts]:
    """The files of a documents artifact that appears when the block ends."""
    plain = to_plain(settings)
    shown = ", ".join(str(path) for path in inputs.values())
    config = {**plain, "input": shown, "pipeline": [{step: plain}]}
    with begun(settings, kind="documents", config=config, inputs=inputs, output=output) as draft:
        clear(draft.path)
        parts = Parts(draft.path, schema, settings)
        try:
            yield parts
            parts.close()
        except BaseException as error:
            parts.abandon(error)
            raise
        draft.stats.update(figures(parts.tally))
        write_report(draft, config)


def clear(folder: Path) -> None:
    """Remove what an interrupted pass has written; it is done anew."""
    for path in sorted(folder.glob("*/*.parquet")):
        path.unlink()


def arranged(settings: Writing, parts: Sequence[Parts], output: Path | None = None) -> Arranged:
    """What was written, added up."""
    return Arranged(
        output=output or settings.output,
        documents_in=parts[0].tally.documents_in if parts else 0,
        documents_out=sum(each.tally.steps[-1].documents for each in parts),
        files=sum(each.files for each in parts),
    )
