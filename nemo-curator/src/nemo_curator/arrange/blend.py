"""``nemo-curator blend``: documents of several inputs in exact proportions, evenly mixed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..document import set_column
from ..filter.scores.tokens import tokenizer
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
    """What was written: documents of each input, and the share of each in what was measured by."""

    output: Path
    documents: int
    by_input: dict[str, int]
    amounts: dict[str, int]
    shares: dict[str, float]
    files: int


def blend(settings: Blend) -> Blended:
    """Write the blend. Raises InputError for an empty input, ConfigError where one would be repeated too often."""
    sources = [
        open_source(path, text_field=settings.text_field, id_field=settings.id_field) for path in settings.inputs
    ]
    names = distinct_names(settings.inputs)
    measures = [measured(source, settings) for source in sources]
    due = plan(settings, measures, names)
    sizes = [len(measure.keys) for measure in measures]
    inputs = {f"inputs.{index}": path for index, path in enumerate(settings.inputs)}
    with writing(settings, common_schema(sources), step="blend", inputs=inputs) as parts:
        streams = [
            Stream(rows_of(source, name, number, size, settings.seed, parts), parts.schema)
            for source, name, number, size in zip(sources, names, due, sizes, strict=True)
        ]
        for order in track(turns(due), "blend", unit="batches"):
            parts.write(mixed(streams, order), step="blend")
    amounts = [measure.amount_of(documents) for measure, documents in zip(measures, due, strict=True)]
    return Blended(
        output=settings.output,
        documents=sum(due),
        by_input=dict(zip(names, due, strict=True)),
        amounts=dict(zip(names, amounts, strict=True)),
        shares={name: round(each / max(1, sum(amounts)), 6) for name, each in zip(names, amounts, strict=True)},
        files=parts.files,
    )


@dataclass(frozen=True)
class Measure:
    """Of every document of an input: the key that it is chosen by, and how much it is (1, bytes, or tokens)."""

    keys: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.int64]

    @property
    def amount(self) -> int:
        """How much there is."""
        return int(self.sizes.sum())

    def documents(self, amount: int) -> int:
        """How many documents make up `amount`, copies included; as near as whole documents come."""
        if not amount:
            return 0
        copies, rest = divmod(amount, self.amount)
        return copies * len(self.keys) + int(np.abs(self._reached() - rest).argmin())

    def amount_of(self, documents: int) -> int:
        """How much so many documents are, copies included."""
        copies, rest = divmod(documents, len(self.keys)) if documents else (0, 0)
        return copies * self.amount + int(self._reached()[rest])

    def _reached(self) -> npt.NDArray[np.int64]:
        """How much the first 0, 1, 2, ... documents are, in the order that they are chosen in."""
        return np.concatenate([[0], np.cumsum(self.sizes[np.argsort(self.keys, kind="stable")])])


def measured(source: Source, settings: Blend) -> Measure:
    """The measure of an input, which streams by."""
    keys, sizes = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for documents, _ in source.batches():
        keys.append(numbers(documents["id"].to_pylist(), seed=settings.seed, purpose="blend"))
        sizes.append(sizes_of(documents, settings))
    return Measure(np.concatenate(keys), np.concatenate(sizes))


def sizes_of(documents: pa.Table, settings: Blend) -> npt.NDArray[np.int64]:
    """How much each document is in the unit of the shares."""
    if settings.by == "documents":
        return np.ones(documents.num_rows, np.int64)
    if settings.by == "tokens":
        assert settings.tokenizer is not None, "settings see to it"
        texts = [text or "" for text in documents["text"].to_pylist()]
        return np.array(tokenizer(settings.tokenizer)(texts), np.int64)
    return np.asarray(pc.binary_length(documents["text"]).to_numpy().astype(np.int64))


def plan(settings: Blend, measures: Sequence[Measure], names: Sequence[str]) -> list[int]:
    """Documents due of each input."""
    amounts = [measure.amount for measure in measures]
    for amount, weight, path in zip(amounts, settings.weights, settings.inputs, strict=True):
        if weight and not amount:
            raise InputError(f"inputs: {path} holds no document, but has the weight {weight:g}")
    whole = sum(settings.weights)
    most = min(int(s * whole / w) for s, w in zip(amounts, settings.weights, strict=True) if w)
    asked, wanted = settings.amount
    due = shares(wanted or most, settings.weights)
    for name, number, amount in zip(names, due, amounts, strict=True):
        if number > amount * settings.max_repeats:
            raise ConfigError(
                f"{asked}={wanted}: needs {number} {settings.by} of {name}, which has {amount}: more than "
                f"{settings.max_repeats} copies of each; ask for fewer, lower its weight, or raise max_repeats"
            )
    return [measure.documents(number) for measure, number in zip(measures, due, strict=True)]


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
