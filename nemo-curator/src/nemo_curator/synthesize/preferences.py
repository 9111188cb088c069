"""``nemo-curator preferences``: each good answer beside a poor one to the same question."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ..foundation import artifact
from ..foundation.atomic import atomic_file
from ..foundation.errors import InputError
from ..foundation.progress import track
from ..foundation.settings import to_plain
from ..request import begun
from .faults import FAULTS
from .rows import SPLITS, Row, fraction_of, read_rows, write_row
from .settings import Preferences

OTHERS = 8


@dataclass(frozen=True, kw_only=True)
class Preferred:
    """What was made."""

    output: Path
    train: int
    validation: int
    faults: dict[str, int]


@dataclass(frozen=True)
class Split:
    """Rows to spoil, and those (beginning with the same) whose answers serve as answers to another question."""

    rows: list[Row]
    lenders: list[Row]


def run(settings: Preferences) -> Preferred:
    """Spoil the answers of every conversation. Raises InputError where there are too few to mix."""
    artifact.read(settings.conversations, "conversations")
    inputs = {"conversations": settings.conversations}
    with begun(settings, kind="preferences", config=to_plain(settings), inputs=inputs) as draft:
        rows: dict[str, int] = {}
        faults = dict.fromkeys(FAULTS, 0)
        for split in SPLITS:
            read = read_split(settings.conversations, split)
            rows[split] = 0
            with atomic_file(draft.path / "data" / f"{split}.jsonl") as handle:
                for fault, row in track(spoil_all(read, settings), f"preferences {split}", unit="rows"):
                    write_row(handle, row)
                    rows[split] += 1
                    faults[fault] += 1
        if not rows["train"]:
            raise InputError(f"conversations={settings.conversations}: needs two different subjects in train.jsonl")
        draft.stats.update(rows, faults=faults)
    return Preferred(output=settings.output, **rows, faults=faults)


def read_split(folder: Path, split: str) -> Split:
    """The rows of a split; held-out rows of a single subject may borrow poor answers from the training rows."""
    rows = list(read_rows(folder, split))
    alone = split != "train" and len({row["subject"] for row in rows}) == 1
    return Split(rows, [*rows, *read_rows(folder, "train")] if alone else rows)


def spoil_all(split: Split, settings: Preferences) -> Iterator[tuple[str, Row]]:
    """Name of the fault and the preference row, for every question; nothing where all have one subject."""
    conversations = split.lenders
    answers = [row["messages"][-1]["content"] for row in conversations]
    for index, row in enumerate(split.rows):
        random = Random(int(fraction_of("fault", settings.seed, row["id"]) * 2**53))
        others = other_answers(index, conversations, answers, random)
        if not others:
            continue
        for fault in random.sample(list(FAULTS), settings.per_question):
            poor = FAULTS[fault](answers[index], others, random)
            if poor != answers[index]:
                yield fault, preference(row, fault, poor)


def other_answers(index: int, conversations: Sequence[Row], answers: Sequence[str], random: Random) -> list[str]:
    """A few answers about other subjects."""
    tries = [random.randrange(len(answers)) for _ in range(4 * OTHERS)]
    subject = conversations[index]["subject"]
    found = [answers[t] for t in tries if conversations[t]["subject"] != subject and answers[t] != answers[index]]
    return list(dict.fromkeys(found))[:OTHERS]


def preference(row: Row, fault: str, poor: str) -> Row:
    """One row; its id ends in the name of the fault."""
    return {
        "id": f"{row['id']}~{fault}",
        "subject": row["subject"],
        "prompt": row["messages"][:-1],
        "chosen": row["messages"][-1:],
        "rejected": [{"role": "assistant", "content": poor}],
        "source": row["source"],
    }
