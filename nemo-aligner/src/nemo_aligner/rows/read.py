"""Rows to learn from and rows to measure on, from an artifact or from files of the user's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from nemo_core.data.rows import Conversation, Preference, has_split, read_conversations, read_preferences
from nemo_core.data.rows import Split as SplitName
from nemo_core.foundation.errors import InputError

HELD_OUT_EVERY = 10

Row = TypeVar("Row", Preference, Conversation)


@dataclass(frozen=True)
class Split(Generic[Row]):
    """Rows by what they are for."""

    train: Sequence[Row]
    validation: Sequence[Row]


def split_preferences(source: Path) -> Split[Preference]:
    """Preference pairs. Raises InputError naming file and line for a malformed row."""
    return _split(source, read_preferences)


def split_conversations(source: Path) -> Split[Conversation]:
    """Conversations. Raises InputError naming file and line for a malformed row."""
    return _split(source, read_conversations)


def _split(source: Path, read: Callable[[Path, SplitName], list[Row]]) -> Split[Row]:
    """The source's own split; where it has none, every tenth row is held out."""
    rows = read(source, "train")
    if has_split(source, "validation"):
        return Split(rows, read(source, "validation"))
    if len(rows) < 2:
        raise InputError(f"{source}: one row only; two are needed, one to learn from and one to measure on")
    return Split([row for i, row in enumerate(rows) if i % HELD_OUT_EVERY], rows[::HELD_OUT_EVERY])


def as_mapping(row: Conversation) -> dict[str, Any]:
    """The row as rewards see it."""
    return {"id": row.id, "subject": row.subject, "messages": row.messages}
