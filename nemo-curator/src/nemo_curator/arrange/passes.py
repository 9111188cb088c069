"""The commands that write one output from one input: shard, shuffle, add-id, sample."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..columns import filled
from ..document import set_column
from ..foundation.progress import track
from ..shards.work import Table
from ..tables.columns import required
from ..tables.source import Source, open_source
from .settings import AddId, Arrangement, Sample, Shard, Shuffle
from .stable import numbers, shares
from .writer import Arranged, Parts, arranged, writing

KEY = "sort_key"
Rows = npt.NDArray[np.bool_]


def opened(settings: Arrangement) -> Source:
    """The input."""
    return open_source(settings.input, text_field=settings.text_field, id_field=settings.id_field)


def counted(source: Source, parts: Parts, label: str) -> Iterator[pa.Table]:
    """The documents of a source, counted; what cannot be read goes to the rejects."""
    for documents, unread in track(source.batches(), label, unit="batches"):
        parts.read(documents, unread)
        yield documents


def shard(settings: Shard) -> Arranged:
    """The same documents in the same order, in files of another size."""
    source = opened(settings)
    with writing(settings, source.schema, step="shard", inputs={"input": settings.input}) as parts:
        for documents in counted(source, parts, "shard"):
            parts.write(documents, step="shard")
    return arranged(settings, [parts])


def add_id(settings: AddId) -> Arranged:
    """The same documents with new ids."""
    source = opened(settings)
    with writing(settings, source.schema, step="add_id", inputs={"input": settings.input}) as parts:
        number = settings.start
        for documents in counted(source, parts, "add-id"):
            parts.write(with_ids(documents, number, settings), step="add_id")
            number += documents.num_rows
    return arranged(settings, [parts])


def with_ids(documents: pa.Table, first: int, settings: AddId) -> pa.Table:
    """`documents` with new ids, and the old ones as source_id where there was none."""
    if settings.kind == "number":
        new = [f"{settings.prefix}-{number:010d}" for number in range(first, first + documents.num_rows)]
    else:
        new = [f"{settings.prefix}-{content_hash(text)}" for text in documents["text"].to_pylist()]
    own = documents["source_id"]
    kept = pc.if_else(pc.equal(pc.fill_null(own, ""), ""), documents["id"], own)
    return set_column(set_column(documents, "source_id", kept), "id", pa.array(new, pa.string()))


def content_hash(text: str) -> str:
    """128 bits of BLAKE2b of a text: equal for equal texts."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def sample(settings: Sample) -> Arranged:
    """The documents with the lowest hashes, as many as asked for, in the order of the input."""
    source = opened(settings)
    if settings.by is not None:
        required(source.schema, settings.by, option="by")
    chosen = choose(source, settings)
    with writing(settings, source.schema, step="sample", inputs={"input": settings.input}) as parts:
        first = 0
        for documents in counted(source, parts, "sample"):
            mask = pa.array(chosen[first : first + documents.num_rows])
            first += documents.num_rows
            parts.write(documents.filter(mask), step="sample")
    return arranged(settings, [parts])


def choose(source: Source, settings: Sample) -> Rows:
    """Which documents are in the sample, by position."""
    keys, values = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    known: dict[object, int] = {}
    for documents, _ in source.batches():
        keys.append(numbers(documents["id"].to_pylist(), seed=settings.seed, purpose="sample"))
        column = documents[settings.by].to_pylist() if settings.by else [None] * documents.num_rows
        values.append(np.array([known.setdefault(str(value), len(known)) for value in column], np.int64))
    return lowest(np.concatenate(keys), np.concatenate(values), settings)


def lowest(keys: npt.NDArray[np.uint64], values: npt.NDArray[np.int64], settings: Sample) -> Rows:
    """The documents with the lowest keys of each value, as many as are due to it."""
    sizes = np.bincount(values) if len(values) else np.zeros(0, np.int64)
    if settings.per_value is not None:
        due = [min(settings.per_value, int(size)) for size in sizes]
    else:
        whole = settings.count if settings.count is not None else round(len(keys) * (settings.fraction or 0.0))
        due = shares(min(whole, len(keys)), [int(size) for size in sizes]) if len(sizes) else []
    chosen = np.zeros(len(keys), bool)
    for value, number in enumerate(due):
        members = np.flatnonzero(values == value)
        chosen[members[np.argsort(keys[members], kind="stable")[:number]]] = True
    return chosen


def shuffle(settings: Shuffle) -> Arranged:
    """The same documents in the order of their keyed hashes: through files where they are many."""
    source = opened(settings)
    with writing(settings, source.schema, step="shuffle", inputs={"input": settings.input}) as parts:
        work = parts.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        size = sum(file.weight for file in source.files)
        buckets = max(1, -(-2 * size // settings.memory_bytes))
        spread(source, parts, work, buckets=min(buckets, 4096), seed=settings.seed)
        for path in sorted(work.glob("*.parquet")):
            bucket = pq.read_table(path)
            order = pc.sort_indices(bucket, sort_keys=[(KEY, "ascending"), ("id", "ascending")])
            parts.write(bucket.take(order).drop_columns([KEY]), step="shuffle")
            path.unlink()
        shutil.rmtree(work, ignore_errors=True)
    return arranged(settings, [parts])


def spread(source: Source, parts: Parts, work: Path, *, buckets: int, seed: int) -> None:
    """Write every document into the bucket of its key; buckets are ranges of keys, in order."""
    schema = source.schema.append(pa.field(KEY, pa.uint64()))
    with ExitStack() as stack:
        files = [Table(stack, work / f"{bucket:05d}.parquet", schema) for bucket in range(buckets)]
        for documents in counted(source, parts, "shuffle"):
            keys = numbers(documents["id"].to_pylist(), seed=seed, purpose="shuffle")
            keyed = filled(documents.append_column(KEY, pa.array(keys, pa.uint64())), schema)
            owners = (keys.astype(object) * buckets) >> 64
            for bucket in sorted(set(owners.tolist())):
                files[bucket].write(keyed.filter(pa.array(owners == bucket)))
