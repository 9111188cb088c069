"""``nemo-curator blend``: documents of several inputs in exact proportions, evenly mixed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..document import set_column
from ..foundation.errors import ConfigError, InputError
from ..foundation.progress import track
from ..tables.columns import merged
from ..tables.source import Source, open_source
from .settings import Blend
from .stable import numbers, shares
from .writer import Parts, writing

CHUNK = 1024
ORIGIN = pa.field("origin", pa.string())


@dataclass(frozen=True, kw_only=True)
class Blended:
    """What was written: documents of each input."""

    output: Path
    documents: int
    by_input: dict[str, int]
    files: int


def blend(settings: Blend) -> Blended:
    """Write the blend. Raises InputError for an empty input, ConfigError where one would be repeated too often."""
    sources = [
        open_source(path, text_field=settings.text_field, id_field=settings.id_field) for path in settings.inputs
    ]
    names = distinct_names(settings.inputs)
    sizes = [sum(documents.num_rows for documents, _ in source.batches()) for source in sources]
    due = plan(settings, sizes, names)
    inputs = {f"inputs.{index}": path for index, path in enumerate(settings.inputs)}
    with writing(settings, common_schema(sources), step="blend", inputs=inputs) as parts:
        streams = [
            Stream(rows_of(source, name, number, size, settings.seed, parts), parts.schema)
            for source, name, number, size in zip(sources, names, due, sizes, strict=True)
        ]
        for order in track(turns(due), "blend", unit="batches"):
            parts.write(mixed(streams, order), step="blend")
    return Blended(
        output=settings.output, documents=sum(due), by_input=dict(zip(names, due, strict=True)), files=parts.files
    )


def plan(settings: Blend, sizes: Sequence[int], names: Sequence[str]) -> list[int]:
    """Documents due of each input."""
    for size, weight, path in zip(sizes, settings.weights, settings.inputs, strict=True):
        if weight and not size:
            raise InputError(f"inputs: {path} holds no document, but has the weight {weight:g}")
    whole = sum(settings.weights)
    most = min(int(s * whole / w) for s, w in zip(sizes, settings.weights, strict=True) if w)
    due = shares(settings.documents or most, settings.weights)
    for name, number, size in zip(names, due, sizes, strict=True):
        if number > size * settings.max_repeats:
            raise ConfigError(
                f"documents={settings.documents}: needs {number} documents of {name}, which has {size}: more than "
                f"{settings.max_repeats} copies of each; ask for fewer, lower its weight, or raise max_repeats"
            )
    return due


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """A name for each input: its folder's or file's, numbered where two are the same."""
    names = [path.resolve().name for path in paths]
    return [name if names.count(name) == 1 else f"{name}-{i}" for i, name in enumerate(names)]


def common_schema(sources: Sequence[Source]) -> pa.Schema:
    """Every column of every source, and the one that tells which a document is from."""
    fields: dict[str, pa.DataType] = {}
    for source in sources:
        for field in source.schema:
            fields[field.name] = merged(fields[field.name], field.type) if field.name in fields else field.type
    fields[ORIGIN.name] = ORIGIN.type
    return pa.schema(list(fields.items()))


def rows_of(source: Source, name: str, due: int, size: int, seed: int, parts: Parts) -> Iterator[pa.Table]:
    """The documents due of a source in its order, copies behind each other; the lowest hashes where not all go."""
    copies, rest = divmod(due, size) if size else (0, 0)
    chosen = choose(source, rest, seed) if rest else np.zeros(size, bool)
    for copy in range(copies + (rest > 0)):
        first = 0
        for documents, unread in source.batches():
            if copy == 0:
                parts.read(documents, unread)
            mask = chosen[first : first + documents.num_rows]
            first += documents.num_rows
            wanted = documents if copy < copies else documents.filter(pa.array(mask))
            if wanted.num_rows:
                yield named(wanted, name, copy)


def choose(source: Source, number: int, seed: int) -> npt.NDArray[np.bool_]:
    """The documents with the lowest hashes."""
    keys = [numbers(documents["id"].to_pylist(), seed=seed, purpose="blend") for documents, _ in source.batches()]
    whole = np.concatenate(keys)
    chosen = np.zeros(len(whole), bool)
    chosen[np.argsort(whole, kind="stable")[:number]] = True
    return chosen


def named(documents: pa.Table, name: str, copy: int) -> pa.Table:
    """Documents with ids that no other input or copy has, and their origin."""
    suffix = f"~{copy + 1}" if copy else ""
    ids = pa.array([f"{name}/{identity}{suffix}" for identity in documents["id"].to_pylist()], pa.string())
    documents = set_column(documents, "id", ids)
    if ORIGIN.name in documents.column_names:
        documents = documents.drop_columns([ORIGIN.name])
    return documents.append_column(ORIGIN, pa.array([name] * documents.num_rows, pa.string()))


class Stream:
    """Tables, from which a stated number of rows can be taken."""

    def __init__(self, tables: Iterator[pa.Table], schema: pa.Schema) -> None:
        self._tables, self._schema, self._held = tables, schema, schema.empty_table()

    def take(self, number: int) -> pa.Table:
        """The next rows."""
        held = [self._held]
        missing = number - self._held.num_rows
        while missing > 0:
            more = as_schema(next(self._tables), self._schema)
            held.append(more)
            missing -= more.num_rows
        whole = pa.concat_tables(held)
        self._held = whole.slice(number)
        return whole.slice(0, number)


def as_schema(documents: pa.Table, schema: pa.Schema) -> pa.Table:
    """The documents with the columns of `schema`."""
    columns = [
        documents[field.name].cast(field.type)
        if field.name in documents.column_names
        else pa.nulls(documents.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def turns(due: Sequence[int]) -> Iterator[list[int]]:
    """Which input's turn it is, in chunks: always that of the one which is furthest behind its share."""
    total = sum(due)
    taken = [0] * len(due)
    chunk: list[int] = []
    for done in range(1, total + 1):
        behind = max(range(len(due)), key=lambda i: (due[i] * done - taken[i] * total, -i))
        taken[behind] += 1
        chunk.append(behind)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def mixed(streams: Sequence[Stream], order: Sequence[int]) -> pa.Table:
    """The next rows of the streams in this order."""
    counts = [order.count(index) for index in range(len(streams))]
    whole = pa.concat_tables([stream.take(count) for stream, count in zip(streams, counts, strict=True)])
    starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
    positions = []
    for index in order:
        positions.append(int(starts[index]))
        starts[index] += 1
    return whole.take(pa.array(positions))
