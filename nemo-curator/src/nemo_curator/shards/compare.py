"""Between two segments: which documents of all shards duplicate another, as rows to drop per shard."""

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..dedup import components, keys, survivors
from ..foundation.atomic import atomic_file, write_text
from ..pipeline import Step
from .layout import Layout

DROPS = pa.schema([("row", pa.int64()), ("survivor", pa.string())])
MODULES = {"exact_dedup": "exact", "fuzzy_dedup": "fuzzy"}


def compare(layout: Layout, segment: int, step: Step, *, shards: int) -> None:
    """Write the drops of every shard, unless they are."""
    if layout.compared(segment).is_file():
        return
    files = [layout.keys(shard, segment) for shard in range(shards)]
    stands_for = representatives(files, step)
    starts = np.concatenate([[0], np.cumsum([np.load(file, mmap_mode="r").shape[1] for file in files])])
    dropped = np.flatnonzero(stands_for != np.arange(len(stands_for)))
    names = ids_of(layout, segment, np.unique(stands_for[dropped]), starts)
    for shard in range(shards):
        rows = dropped[(dropped >= starts[shard]) & (dropped < starts[shard + 1])]
        write_drops(layout.drops(shard, segment), rows - starts[shard], [names[int(stands_for[row])] for row in rows])
    write_text(layout.compared(segment), json.dumps({"dropped": len(dropped)}))


def representatives(files: Sequence[Path], step: Step) -> components.Labels:
    """For each document, in order of ids, the one that stays in its place."""
    lengths = keys.read_rows(files, keys.num_rows(files) - 1).astype(np.int64)
    members = np.flatnonzero(lengths > 0)
    bands = import_module(f"nemo_curator.dedup.{MODULES[step.name]}").bands
    labels = components.label(len(lengths), bands(files, members))
    return survivors.choose(labels, lengths, step.settings.survivor)  # type: ignore[attr-defined]


def ids_of(
    layout: Layout, segment: int, documents: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]
) -> dict[int, str]:
    """Ids of the documents with these numbers, read shard by shard."""
    found: dict[int, str] = {}
    owners = np.searchsorted(starts, documents, side="right") - 1
    for shard in np.unique(owners):
        ids = pq.read_table(layout.documents(int(shard), segment, last=False), columns=["id"])["id"]
        wanted = documents[owners == shard]
        names = ids.take(pa.array(wanted - starts[shard])).to_pylist()
        found.update(zip(map(int, wanted), names, strict=True))
    return found


def write_drops(path: Path, rows: npt.NDArray[np.int64], names: list[str]) -> None:
    """Write the rows of one shard to drop, each with the id that it duplicates."""
    with atomic_file(path) as handle:
        pq.write_table(pa.table({"row": rows, "survivor": pa.array(names, pa.string())}, schema=DROPS), handle)
