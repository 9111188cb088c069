"""Dataset rows from an artifact or a file of the user's own, with the line of everything that is wrong."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec
from nemo_core.foundation import artifact
from nemo_core.foundation.errors import InputError

VALIDATION_SHARE = 10


class Message(msgspec.Struct, frozen=True):
    """A turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Preference(msgspec.Struct, frozen=True):
    """Two answers to one prompt; each part a list of messages, or plain text (one turn)."""

    prompt: list[Message] | str
    chosen: list[Message] | str
    rejected: list[Message] | str
    id: str = ""
    subject: str = ""


class Conversation(msgspec.Struct, frozen=True):
    """A question with its answer; only what precedes the last answer is shown to the model."""

    messages: list[Message]
    id: str = ""
    subject: str = ""


Row = TypeVar("Row", Preference, Conversation)


@dataclass(frozen=True)
class Split(Generic[Row]):
    """Rows to learn from and rows to measure on."""

    train: Sequence[Row]
    validation: Sequence[Row]


def read_split(source: Path, kind: str, row_type: type[Row]) -> Split[Row]:
    """The rows of an artifact of `kind`, or of a JSONL file, of which every tenth row is held out.

    Raises ArtifactError for another kind, InputError naming file and line for a malformed row or an empty dataset.
    """
    if source.is_file():
        rows = list(read_rows(source, row_type))
        split = Split([r for i, r in enumerate(rows) if i % VALIDATION_SHARE], rows[::VALIDATION_SHARE])
    else:
        artifact.read(source, kind)
        data = source / "data"
        split = Split(
            list(read_rows(data / "train.jsonl", row_type)), list(read_rows(data / "validation.jsonl", row_type))
        )
    for name, rows in (("training", split.train), ("validation", split.validation)):
        if not rows:
            raise InputError(f"{source}: no {name} rows; at least one is needed (a file needs two rows or more)")
    return split


def read_rows(path: Path, row_type: type[Row]) -> Iterator[Row]:
    """The rows of a JSONL file. Raises InputError naming the line that is not such a row."""
    decoder = msgspec.json.Decoder(row_type)
    with open(path, "rb") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                fields = ", ".join(field.name for field in msgspec.structs.fields(row_type))
                raise InputError(f"{path}:{number}: not a {row_type.__name__.lower()} row: {error} (fields: {fields})") from None


def as_messages(part: list[Message] | str, role: Literal["user", "assistant"]) -> list[dict[str, str]]:
    """A part of a row as chat messages; plain text is one turn of `role`."""
    if isinstance(part, str):
        return [{"role": role, "content": part}]
    return [{"role": message.role, "content": message.content} for message in part]


def as_mapping(row: Row) -> dict[str, Any]:
    """The row as plain values, as rewards see it."""
    plain: dict[str, Any] = msgspec.to_builtins(row)
    return plain
