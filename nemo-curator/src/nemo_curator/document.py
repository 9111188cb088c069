"""What a document is at every step: one row of an Arrow table with these columns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("url", pa.string()),
        ("title", pa.string()),
        ("language", pa.string()),
        ("language_score", pa.float32()),
        ("source", pa.string()),
        ("source_id", pa.string()),
        ("metadata", pa.string()),
    ]
)
REJECT_SCHEMA = SCHEMA.append(pa.field("reason", pa.string())).append(pa.field("detail", pa.string()))
RAW_SCHEMA = SCHEMA.append(pa.field("html", pa.binary())).append(pa.field("charset", pa.string()))
REJECTED_TEXT_CHARACTERS = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One record as it was read. `html` holds the page where the text is still to be extracted from it."""

    id: str
    source: str
    text: str = ""
    url: str = ""
    title: str = ""
    source_id: str = ""
    metadata: str = ""
    html: bytes | None = None
    charset: str = ""

    @property
    def num_bytes(self) -> int:
        """Size of what was read, near enough to bound a batch."""
        return len(self.html) if self.html is not None else len(self.text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reject:
    """One record that cannot be a document, why, and the place (file:line) in `detail`."""

    id: str
    source: str
    reason: str
    detail: str
    text: str = ""
    url: str = ""
    source_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A step's answer for a batch: the documents, perhaps rewritten, and why each is dropped (null: it stays).

    `scores` are the figures behind it, one per document, for the report's histograms; `counts` says how often the step
    changed what, by kind.
    """

    documents: pa.Table
    reason: pa.Array
    detail: pa.Array | None = None
    scores: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


def keep_all(documents: pa.Table) -> Verdict:
    """The verdict of a step that drops nothing."""
    return Verdict(documents=documents, reason=pa.nulls(documents.num_rows, pa.string()))


def to_table(documents: Sequence[Document]) -> pa.Table:
    """Documents as columns (RAW_SCHEMA)."""
    empty = [""] * len(documents)
    columns: dict[str, Iterable[object]] = {
        "id": [d.id for d in documents],
        "text": [d.text for d in documents],
        "url": [d.url for d in documents],
        "title": [d.title for d in documents],
        "language": empty,
        "language_score": [0.0] * len(documents),
        "source": [d.source for d in documents],
        "source_id": [d.source_id for d in documents],
        "metadata": [d.metadata for d in documents],
        "html": [d.html for d in documents],
        "charset": [d.charset for d in documents],
    }
    return pa.table({name: pa.array(columns[name], each.type) for name, each in fields(RAW_SCHEMA)})


def rejects_table(rejects: Sequence[Reject]) -> pa.Table:
    """Rejects of a reader as columns (REJECT_SCHEMA)."""
    rows = [
        {
            "id": r.id,
            "text": printable(r.text[:REJECTED_TEXT_CHARACTERS]),
            "url": r.url,
            "title": "",
            "language": "",
            "language_score": 0.0,
            "source": r.source,
            "source_id": r.source_id,
            "metadata": "",
            "reason": r.reason,
            "detail": r.detail,
        }
        for r in rejects
    ]
    return pa.Table.from_pylist(rows, schema=REJECT_SCHEMA)


def fields(schema: pa.Schema) -> list[tuple[str, pa.Field]]:
    """Name and field of every column."""
    return [(each.name, each) for each in schema]


def printable(text: str) -> str:
    """`text` with lone surrogates replaced, so that it can be written as UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def set_column(documents: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """`documents` with one column replaced."""
    index = documents.schema.get_field_index(name)
    return documents.set_column(index, documents.schema.field(index), values)


def text_bytes(documents: pa.Table) -> int:
    """UTF-8 bytes of all texts, and of pages whose text is still to be extracted."""
    import pyarrow.compute as pc

    held = [name for name in ("text", "html") if name in documents.column_names]
    return sum(int(pc.sum(pc.binary_length(documents[name])).as_py() or 0) for name in held)
