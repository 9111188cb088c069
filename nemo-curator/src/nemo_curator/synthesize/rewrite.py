"""``nemo-curator rewrite``: documents written anew by an endpoint, in the styles of Nemotron-CC."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ..arrange.passes import counted, opened
from ..arrange.writer import Arranged, Parts, arranged, writing
from ..columns import filled
from ..document import SCHEMA, Reject, rejects_table
from .endpoint.ask import Asker
from .endpoint.journal import Journal
from .endpoint.request import Answer
from .generate_settings import Rewrite
from .templates import templates

STEP = "rewrite"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A piece of a document to be written anew in a style."""

    row: dict[str, Any]
    style: str
    number: int
    text: str

    @property
    def id(self) -> str:
        """The document's id, the style, and the number of the piece."""
        return f"{self.row['id']}~{self.style}-{self.number}"


def run(settings: Rewrite) -> Arranged:
    """Write every document anew."""
    source = opened(settings)
    kept = settings.answers or settings.output.with_name(f"{settings.output.name}.answers.jsonl")
    with (
        writing(settings, source.schema, step=STEP, inputs={"input": settings.input}) as parts,
        Journal(kept) as journal,
    ):
        asker = Asker(endpoint=settings.endpoint, sampling=settings.sampling, journal=journal)
        for documents in counted(source, parts, STEP):
            pieces = [piece for row in documents.to_pylist() for piece in pieces_of(row, settings)]
            requests = [asker.request([{"role": "user", "content": asked(piece)}]) for piece in pieces]
            write(list(zip(pieces, asker.ask(requests, STEP), strict=True)), parts, settings)
    return arranged(settings, [parts])


def write(answered: list[tuple[Piece, Answer]], parts: Parts, settings: Rewrite) -> None:
    """Write the usable answers as documents, and the others as rejects."""
    rows = [document(piece, answer, settings) for piece, answer in answered if not answer.fault]
    parts.write(filled(pa.Table.from_pylist(rows, schema=SCHEMA), parts.schema), step=STEP)
    failed = [
        Reject(id=p.id, source=p.row["id"], reason=a.fault, detail=a.text[:200], text=p.text)
        for p, a in answered
        if a.fault
    ]
    parts.drop(rejects_table(failed), step=STEP)


def document(piece: Piece, answer: Answer, settings: Rewrite) -> dict[str, Any]:
    """The new document; its source is the id of the old one."""
    told = {"style": piece.style, "model": settings.endpoint.model, "rewritten": True}
    with_source = templates()["rewrites"][piece.style]["with_source"]
    return {
        **{name: piece.row[name] for name in SCHEMA.names},
        "id": piece.id,
        "text": f"{piece.text}\n\n{answer.text}" if with_source else answer.text,
        "source": piece.row["id"],
        "metadata": json.dumps(told, ensure_ascii=False),
    }


def asked(piece: Piece) -> str:
    """What is asked about a piece."""
    return str(templates()["rewrites"][piece.style]["text"].format(document=piece.text))


def pieces_of(row: dict[str, Any], settings: Rewrite) -> Iterator[Piece]:
    """The pieces of a document in each style, as long as the style takes them."""
    for style in settings.styles:
        texts = split(row["text"] or "", max_words=templates()["rewrites"][style]["max_words"])
        long_enough = [text for text in texts if len(text.split()) >= settings.min_words]
        for number, text in enumerate(long_enough):
            yield Piece(row=row, style=style, number=number, text=text)


def split(text: str, *, max_words: int) -> list[str]:
    """Neighbouring paragraphs gathered into pieces of at most `max_words`; a longer paragraph is cut between words."""
    pieces: list[str] = []
    room = 0
    for paragraph in (p for whole in re.split(r"\n\s*\n", text) for p in cut(whole.strip(), max_words)):
        words = len(paragraph.split())
        if pieces and words <= room:
            pieces[-1] += f"\n\n{paragraph}"
            room -= words
        else:
            pieces.append(paragraph)
            room = max_words - words
    return pieces


def cut(paragraph: str, max_words: int) -> list[str]:
    """A paragraph in pieces of at most `max_words`; none where it is empty."""
    words = paragraph.split()
    if len(words) <= max_words:
        return [paragraph] if words else []
    return [" ".join(words[i : i + max_words]) for i in range(0, len(words), max_words)]
