"""Groups of documents that duplicate each other, as the rejects tell them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

OF = "of "
"""What the detail of a dropped duplicate begins with; the id of the document that stays in its place follows."""
LARGEST = 10


def groups(folder: Path) -> dict[str, Any]:
    """By drop reason: how many groups have each size (the survivor counted), and the largest with their survivors."""
    survivors = {reason: sizes for reason, sizes in counted(folder) if sizes.num_rows}
    return {reason: summary(sizes) for reason, sizes in sorted(survivors.items())}


def counted(folder: Path) -> Iterator[tuple[str, pa.Table]]:
    """Each reason of duplicates with the number of documents dropped for the sake of each survivor."""
    found: dict[str, list[pa.Table]] = {}
    for path in sorted(folder.glob("rejects/*.parquet")):
        for reason, counts in of_file(path).items():
            found.setdefault(reason, []).append(counts)
    for reason, parts in found.items():
        total = pa.concat_tables(parts).group_by("survivor").aggregate([("count", "sum")])
        yield reason, total.rename_columns({"survivor": "survivor", "count_sum": "count"})


def of_file(path: Path) -> dict[str, pa.Table]:
    """The counts of one file of rejects, by reason."""
    table = pq.read_table(path, columns=["reason", "detail"])
    table = table.filter(pc.and_(pc.starts_with(table["detail"], OF), pc.match_substring(table["reason"], "duplicate")))
    counts = table.group_by(["reason", "detail"]).aggregate([("detail", "count")])
    survivor = pc.utf8_slice_codeunits(counts["detail"].cast(pa.string()), len(OF))
    every = pa.table({"reason": counts["reason"], "survivor": survivor, "count": counts["detail_count"]})
    return {
        reason: every.filter(pc.equal(every["reason"], reason)).drop_columns(["reason"])
        for reason in pc.unique(every["reason"]).to_pylist()
    }


def summary(sizes: pa.Table) -> dict[str, Any]:
    """Groups by size, and the largest."""
    whole = Counter(size + 1 for size in sizes["count"].to_pylist())
    order = pc.sort_indices(sizes, sort_keys=[("count", "descending"), ("survivor", "ascending")])
    largest = sizes.take(order[:LARGEST]).to_pylist()
    return {
        "sizes": {str(size): number for size, number in sorted(whole.items())},
        "largest": [{"survivor": each["survivor"], "documents": each["count"] + 1} for each in largest],
    }


def members(folder: Path, survivor: str, *, limit: int) -> tuple[int, list[str]]:
    """How many documents went for the sake of `survivor`, and the ids of the first."""
    count = 0
    ids: list[str] = []
    for path in sorted(folder.glob("rejects/*.parquet")):
        table = pq.read_table(path, columns=["id", "detail"])
        found = table.filter(pc.equal(table["detail"], OF + survivor))["id"]
        count += len(found)
        ids += found[: max(0, limit - len(ids))].to_pylist()
    return count, ids
