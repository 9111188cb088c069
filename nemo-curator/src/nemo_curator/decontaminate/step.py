"""The decontaminate step at work: matches, cuts, pieces."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..document import Verdict
from ..foundation.errors import ConfigError
from .index import Index, Match, build
from .settings import Decontaminate

SENTENCE_ENDS = ".!?"


def decontaminator(settings: Decontaminate) -> Callable[[pa.Table], Verdict]:
    """The step as a function from a batch to its verdict; pieces of a document are documents of their own."""
    index = build(settings)
    common = read_common(settings.common, index) if settings.common else frozenset()

    def step(documents: pa.Table) -> Verdict:
        rows: list[int] = []
        texts: list[str] = []
        suffixes: list[str] = []
        reasons: list[str | None] = []
        details: list[str | None] = []
        for row, text in enumerate(documents["text"].to_pylist()):
            matches = [match for match in index.matches(text or "") if match.number not in common]
            pieces, reason = judge(text or "", matches, settings)
            detail = told(matches, index) if matches else None
            for number, piece in enumerate(pieces):
                rows.append(row)
                texts.append(piece)
                suffixes.append(f"~{number}" if len(pieces) > 1 else "")
                reasons.append(reason)
                details.append(detail)
        return Verdict(
            documents=exploded(documents, rows, texts, suffixes),
            reason=pa.array(reasons, pa.string()),
            detail=pa.array(details, pa.string()),
        )

    return step


def judge(text: str, matches: Sequence[Match], settings: Decontaminate) -> tuple[list[str], str | None]:
    """The pieces that are left of a text, or the text itself and why it is dropped."""
    if not matches:
        return [text], None
    if settings.mode == "drop":
        return [text], "contaminated"
    pieces = cut(text, matches, settings)
    if not pieces:
        return [text], "contaminated"
    return (pieces, None) if len(pieces) <= settings.max_splits else ([text], "contaminated_in_too_many_places")


def cut(text: str, matches: Sequence[Match], settings: Decontaminate) -> list[str]:
    """What stays around the passages: whole sentences, at a distance from them, in pieces that are long enough."""
    pieces: list[str] = []
    begin = 0
    for match in matches:
        if match.start < begin:
            continue
        before = sentence_end_before(text, match.start - settings.cut_characters, begin)
        if before - begin > settings.min_characters:
            pieces.append(text[begin:before])
        begin = sentence_end_behind(text, match.end + settings.cut_characters)
    if len(text) - begin > settings.min_characters:
        pieces.append(text[begin:])
    return [stripped for piece in pieces if (stripped := piece.strip())]


def sentence_end_before(text: str, position: int, begin: int) -> int:
    """Behind the last end of a sentence up to `position`; `begin` where there is none."""
    return max(max(text.rfind(mark, begin, max(begin, position + 1)) for mark in SENTENCE_ENDS) + 1, begin)


def sentence_end_behind(text: str, position: int) -> int:
    """Behind the next end of a sentence from `position` on; the end of the text where there is none."""
    found = [at for mark in SENTENCE_ENDS if (at := text.find(mark, position)) >= 0]
    return min(found) + 1 if found else len(text)


def told(matches: Sequence[Match], index: Index) -> str:
    """Which sets a document has passages of, and where the first one is."""
    names = sorted({index.names[index.owners[match.number]] for match in matches})
    return f"{len(matches)} passages of {', '.join(names)}; the first at character {matches[0].start}"


def exploded(documents: pa.Table, rows: list[int], texts: list[str], suffixes: list[str]) -> pa.Table:
    """A row for each piece, with the columns of its document and an id of its own."""
    out = documents.take(pa.array(rows, pa.int64()))
    ids = [f"{one}{suffix}" for one, suffix in zip(out["id"].to_pylist(), suffixes, strict=True)]
    for name, values in (("text", texts), ("id", ids)):
        position = out.schema.get_field_index(name)
        out = out.set_column(position, out.schema.field(position), pa.array(values, out.schema.field(position).type))
    return out


def count_matches(index: Index, texts: Sequence[str]) -> np.ndarray:
    """How often each passage of the index is found."""
    counts = np.zeros(len(index.keys), np.int64)
    for text in texts:
        for match in index.matches(text):
            counts[match.number] += 1
    return counts


def write_common(index: Index, counts: np.ndarray, limit: int) -> str:
    """The passages found more often than `limit`, as JSON."""
    common = np.flatnonzero(counts > limit)
    return json.dumps({"passages": [f"{int(key):016x}" for key in index.keys[common]], "found": int(counts.sum())})


def read_common(path: Path, index: Index) -> frozenset[int]:
    """Numbers of the passages that a file says are common."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        wanted = {int(key, 16) for key in plain["passages"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"common={path}: not a common.json of this command ({error})") from None
    return frozenset(int(n) for n in np.flatnonzero(np.isin(index.keys, np.fromiter(wanted, np.uint64, len(wanted)))))
