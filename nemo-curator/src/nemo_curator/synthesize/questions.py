"""``nemo-curator questions``: what a document's title and first sentence teach, as questions with answers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from ..foundation import artifact
from ..foundation.atomic import atomic_file
from ..foundation.errors import InputError
from ..foundation.progress import track
from ..foundation.settings import to_plain
from ..request import begun
from .rows import Row, fraction_of, write_row
from .sentences import Lead, beginning, leads_of, name_subject
from .settings import Questions

PHRASINGS = (
    "What is {}?",
    "What does {} do?",
    "Explain {} in one sentence.",
    "Tell me briefly about {}.",
)
LEADS_TRIED = 12


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was made."""

    output: Path
    train: int
    validation: int
    skipped: dict[str, int]


@dataclass
class Counts:
    """Rows written, documents skipped by reason, and how often each answer was used."""

    rows: dict[str, int] = field(default_factory=lambda: {"train": 0, "validation": 0})
    skipped: dict[str, int] = field(default_factory=dict)
    uses: dict[bytes, int] = field(default_factory=dict)
    sources: int = 0
    next_held_out: tuple[float, str] = (1.0, "")

    def skip(self, reason: str) -> None:
        """Count a document that gives no pair."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def source(self, identity: str, fraction: float) -> None:
        """Count a document that gives pairs, and remember the one that a larger share would hold out first."""
        self.sources += 1
        self.next_held_out = min(self.next_held_out, (fraction, identity))


def run(settings: Questions) -> Asked:
    """Write the pairs of every document. Raises InputError where none could be derived."""
    manifest = artifact.read(settings.documents, "documents")
    parts = sorted(r.path for r in manifest.files if r.path.startswith("data/"))
    inputs = {"documents": settings.documents}
    with begun(settings, kind="conversations", config=to_plain(settings), inputs=inputs) as draft:
        counts = write_all(settings, [settings.documents / part for part in parts], draft.path / "data")
        if not counts.rows["train"]:
            raise InputError(
                f"documents={settings.documents}: no question could be derived from its documents "
                f"({counts.skipped or 'there are none'}); they need titles, or sentences of "
                f"{settings.min_words} to {settings.max_words} words at their beginning"
            )
        draft.stats.update(counts.rows, skipped=counts.skipped)
    return Asked(output=settings.output, **counts.rows, skipped=counts.skipped)


def write_all(settings: Questions, parts: list[Path], folder: Path) -> Counts:
    """Write both splits in one pass over the documents; where the share held out none of several, one is held out."""
    counts = Counts()
    with atomic_file(folder / "train.jsonl") as train, atomic_file(folder / "validation.jsonl") as validation:
        handles = {"train": train, "validation": validation}
        for part in track(parts, "questions", unit="files"):
            for identity, title, text in documents_of(part):
                fraction = fraction_of("split", identity)
                split = "validation" if fraction < settings.validation_share else "train"
                rows = list(pairs(identity, title, text, split=split, settings=settings, counts=counts))
                for row in rows:
                    write_row(handles[split], row)
                counts.rows[split] += len(rows)
                if rows:
                    counts.source(identity, fraction)
    if settings.validation_share and counts.sources > 1 and not counts.rows["validation"]:
        hold_out(counts, folder)
    return counts


def hold_out(counts: Counts, folder: Path) -> None:
    """Move the first pair of one document to the empty validation split and drop its others."""
    chosen = counts.next_held_out[1]
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_bytes().splitlines()]
    split = {
        "train": [r for r in rows if r["source"] != chosen],
        "validation": [r for r in rows if r["source"] == chosen],
    }
    for name, kept in {"train": split["train"], "validation": split["validation"][:1]}.items():
        with atomic_file(folder / f"{name}.jsonl") as handle:
            for row in kept:
                write_row(handle, row)
        counts.rows[name] = len(kept)


def documents_of(part: Path) -> Iterator[tuple[str, str, str]]:
    """Id, title and text of each document of a file."""
    with pq.ParquetFile(part) as table:
        for batch in table.iter_batches(batch_size=256, columns=["id", "title", "text"]):
            yield from zip(*(batch[name].to_pylist() for name in ("id", "title", "text")), strict=True)


def pairs(identity: str, title: str, text: str, *, split: str, settings: Questions, counts: Counts) -> Iterator[Row]:
    """The rows that a document gives: questions by its title, or a sentence to complete where it has none."""
    lead = choose_lead(text, title, settings, counts)
    if lead.fault:
        counts.skip(lead.fault)
        return
    if title:
        number = settings.phrasings if split == "train" else 1
        answer = name_subject(lead.sentence, title)
        for index, phrasing in enumerate(PHRASINGS[:number]):
            yield conversation(f"{identity}?{index}", title, phrasing.format(title), answer, identity)
    else:
        subject = beginning(lead.sentence)
        yield conversation(f"{identity}?0", subject, f"Complete: {subject}", lead.sentence, identity)


def choose_lead(text: str, title: str, settings: Questions, counts: Counts) -> Lead:
    """A document's lead sentence; where every page begins with the same words, the first of its own further down."""
    leads = islice(leads_of(text, title, min_words=settings.min_words, max_words=settings.max_words), LEADS_TRIED)
    first = next(leads)
    if first.fault or not used_up(first.sentence, settings.max_uses, counts):
        return first
    for lead in leads:
        if not lead.fault and not used_up(lead.sentence, settings.max_uses, counts):
            return lead
    return Lead(first.sentence, "lead_too_common")


def used_up(sentence: str, limit: int, counts: Counts) -> bool:
    """Whether as many documents as may have the same answer have it already."""
    key = blake2b(sentence.casefold().encode(), digest_size=8).digest()
    counts.uses[key] = counts.uses.get(key, 0) + 1
    return counts.uses[key] > limit


def conversation(identity: str, subject: str, question: str, answer: str, source: str) -> Row:
    """One row."""
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"id": identity, "subject": subject, "messages": messages, "source": source}
