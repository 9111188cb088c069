"""``nemo-curator explain``: what happened to one document."""

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from .foundation import artifact
from .foundation.errors import InputError
from .recipe import Explain

EXCERPT_CHARACTERS = 500


def run(settings: Explain) -> dict[str, Any]:
    """The row of the document and what became of it. Raises InputError where the artifact never saw it."""
    manifest = artifact.read(settings.documents, "documents")
    for record in manifest.files:
        if record.path.startswith(("data/", "rejects/")):
            row = find(settings.documents / record.path, settings.id)
            if row is not None:
                return answer(row, record.path)
    raise InputError(f"id={settings.id}: not among the documents of {settings.documents}, nor among its rejects")


def find(path: Path, identity: str) -> dict[str, Any] | None:
    """The row of a file with this id or source_id; None where there is none."""
    with pq.ParquetFile(path) as table:
        for group in range(table.num_row_groups):
            names = table.read_row_group(group, columns=["id", "source_id"])
            wanted = pc.or_(pc.equal(names["id"], identity), pc.equal(names["source_id"], identity))
            if pc.any(wanted).as_py():
                return dict(table.read_row_group(group).filter(wanted).to_pylist()[0])
    return None


def answer(row: dict[str, Any], path: str) -> dict[str, Any]:
    """What is said of a document."""
    dropped = {"reason": row["reason"], "detail": row["detail"]} if "reason" in row else {}
    facts = {name: row[name] for name in ("id", "source_id", "source", "url", "title", "language", "language_score")}
    return {
        "outcome": "dropped" if dropped else "kept",
        **dropped,
        **facts,
        "file": path,
        "text": row["text"][:EXCERPT_CHARACTERS],
    }
