"""Repeated passages cut out of documents, as they were found to be."""

from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from ..document import Verdict, set_column
from .spans import CUTS

if TYPE_CHECKING:
    from ..shards.layout import Layout


class Leaving(Protocol):
    """How little may be left of a document, and what it is dropped for."""

    @property
    def reason(self) -> str:
        """The reason to drop a document of which too little is left."""

    @property
    def min_bytes_left(self) -> int:
        """Bytes that have to be left."""


class Cutter:
    """Cuts the spans of a shard out of its batches, in order; a document of which too little is left is dropped."""

    def __init__(self, settings: Leaving, layout: "Layout", segment: int, shard: int) -> None:
        self._settings = settings
        self._passed = 0
        self._cuts: dict[int, list[tuple[int, int]]] = {}
        cuts = pq.read_table(layout.beside(shard, segment, CUTS)).to_pydict()
        for row, start, end in zip(cuts["row"], cuts["start"], cuts["end"], strict=True):
            self._cuts.setdefault(row, []).append((start, end))

    def __call__(self, documents: pa.Table) -> Verdict:
        """The documents without the spans."""
        texts = documents["text"].to_pylist()
        reasons: list[str | None] = [None] * len(texts)
        details: list[str | None] = [None] * len(texts)
        kept = list(texts)
        for row in range(len(texts)):
            spans = self._cuts.get(self._passed + row)
            if not spans:
                continue
            left = without(texts[row], spans)
            if len(left.encode()) < self._settings.min_bytes_left:
                cut = sum(end - start for start, end in spans)
                reasons[row] = self._settings.reason
                details[row] = (
                    f"{len(spans)} spans of {cut} bytes in all, min_bytes_left {self._settings.min_bytes_left}"
                )
            else:
                kept[row] = left
        self._passed += len(texts)
        return Verdict(
            documents=set_column(documents, "text", pa.array(kept, pa.string())),
            reason=pa.array(reasons, pa.string()),
            detail=pa.array(details, pa.string()),
        )


def without(text: str, spans: list[tuple[int, int]]) -> str:
    """`text` without the spans (bytes that ascend); no character is cut in two, no blanks are left at the end."""
    data = text.encode()
    parts, at = [], 0
    for start, end in spans:
        while start < end and data[start] & 0xC0 == 0x80:
            start += 1
        while end > start and end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        parts.append(data[at:start])
        at = end
    return b"".join([*parts, data[at:]]).decode().rstrip()
