"""Rows of conversations and preferences, from the suite's artifacts or from JSONL files as others write them.

Known forms of a conversation row: ``messages`` (ours and OpenAI's), ``conversations`` with ``from``/``value``
(ShareGPT), and one question with its answer as ``input``/``output``, ``prompt``/``completion``,
``prompt``/``response``, ``question``/``answer`` or ``instruction``(+``input``)/``output`` (Alpaca).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..foundation import artifact
from ..foundation.errors import InputError
from .documents import parse_object, read_lines

Message = dict[str, str]
Row = TypeVar("Row")
Split = Literal["train", "validation"]

ROLES = ("system", "user", "assistant", "tool")
SHAREGPT_ROLES = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
PAIRS = (
    ("instruction", "output"),
    ("input", "output"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
)


@dataclass(frozen=True)
class Conversation:
    """Turns of a conversation in order; `place` is the file:line it came from."""

    id: str
    messages: list[Message]
    place: str
    subject: str = ""


@dataclass(frozen=True)
class Preference:
    """A prompt with the answer people want and one they do not."""

    id: str
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    place: str
    subject: str = ""


class Malformed(ValueError):
    """Says what is wrong with a row; the reader adds the place."""


def read_conversations(source: Path, split: Split = "train") -> list[Conversation]:
    """Conversations of a conversations artifact, or of a user's JSONL file or folder.

    Raises InputError naming file:line where a row is in no known form, or there is no row.
    """
    return _read(source, split, kind="conversations", parse=parse_conversation)


def read_preferences(source: Path, split: Split = "train") -> list[Preference]:
    """Preferences of a preferences artifact, or of a user's JSONL file or folder.

    A row has ``prompt``, ``chosen`` and ``rejected``, each a text or a list of messages. Raises InputError naming
    file:line where it has not, or there is no row.
    """
    return _read(source, split, kind="preferences", parse=parse_preference)


def has_split(source: Path, split: Split) -> bool:
    """Whether `source` keeps rows of that split apart."""
    return bool(_split_files(source, split))


def _read(source: Path, split: Split, *, kind: str, parse: Callable[[dict[str, Any], str], Row]) -> list[Row]:
    rows = [row for path in _files(source, split, kind=kind) for row in _parse_file(path, parse)]
    if not rows:
        raise InputError(f"{source}: no rows in its {split} split; give at least one {kind.removesuffix('s')}")
    return rows


def _files(source: Path, split: Split, *, kind: str) -> list[Path]:
    if (source / artifact.MANIFEST).is_file():
        artifact.read(source, kind)
        return _split_files(source, split)
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f"{source}: no such file or folder; give a {kind} artifact or a JSONL file")
    found = _split_files(source, split) or sorted(p for p in source.rglob("*") if p.name.endswith(SUFFIXES))
    if not found:
        raise InputError(f"{source}: no JSONL file in it; give a {kind} artifact, or files named *.jsonl or *.jsonl.gz")
    return found


SUFFIXES = (".jsonl", ".jsonl.gz")


def _split_files(source: Path, split: Split) -> list[Path]:
    places = [folder / f"{split}{suffix}" for folder in (source / "data", source) for suffix in SUFFIXES]
    return [path for path in places if path.is_file()]


def _parse_file(path: Path, parse: Callable[[dict[str, Any], str], Row]) -> Iterator[Row]:
    for number, line in read_lines(path):
        row = parse_object(path, number, line)
        try:
            yield parse(row, f"{path}:{number}")
        except Malformed as error:
            raise InputError(f"{path}:{number}: {error}") from None


def parse_conversation(row: dict[str, Any], place: str) -> Conversation:
    """The conversation in a row of any known form. Raises Malformed."""
    messages = _conversation_messages(row)
    if not any(message["role"] == "assistant" for message in messages):
        raise Malformed("no assistant turn, so there is no answer to learn")
    return Conversation(_id(row, place), messages, place, str(row.get("subject", "")))


def parse_preference(row: dict[str, Any], place: str) -> Preference:
    """The preference in a row. Raises Malformed."""
    missing = [key for key in ("prompt", "chosen", "rejected") if key not in row]
    if missing:
        raise Malformed(f"no {' and no '.join(missing)} (keys: {', '.join(row) or 'none'})")
    prompt = as_messages(row["prompt"], role="user", key="prompt")
    chosen, rejected = (as_messages(row[key], role="assistant", key=key) for key in ("chosen", "rejected"))
    for key, answer in (("chosen", chosen), ("rejected", rejected)):
        if answer[-1]["role"] != "assistant":
            raise Malformed(f"{key} ends with a {answer[-1]['role']!r} turn; an assistant turn is needed")
    return Preference(
        _id(row, place),
        prompt,
        _after(prompt, chosen),
        _after(prompt, rejected),
        place,
        str(row.get("subject", "")),
    )


def as_messages(value: Any, *, role: str, key: str) -> list[Message]:
    """A text as one turn of `role`, or a list of turns as it is. Raises Malformed."""
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list) or not value:
        raise Malformed(f"{key} must be a text or a list of messages, it is {str(value)[:60]!r}")
    return [_message(item, key=f"{key}[{number}]") for number, item in enumerate(value)]


def _after(prompt: list[Message], answer: list[Message]) -> list[Message]:
    """The answer without the prompt, which some data sets repeat in it."""
    return answer[len(prompt) :] if answer[: len(prompt)] == prompt else answer


def _id(row: Mapping[str, Any], place: str) -> str:
    return str(row.get("id", Path(place).name))


def _conversation_messages(row: dict[str, Any]) -> list[Message]:
    if "messages" in row:
        return as_messages(row["messages"], role="user", key="messages")
    if "conversations" in row:
        return _sharegpt(row["conversations"])
    for question, answer in PAIRS:
        if question in row and answer in row:
            return _pair(row, question, answer)
    raise Malformed(
        f"in no known form (keys: {', '.join(row) or 'none'}); known: messages, conversations, "
        + ", ".join("/".join(pair) for pair in PAIRS)
    )


def _pair(row: dict[str, Any], question: str, answer: str) -> list[Message]:
    for key in (question, answer):
        if not isinstance(row[key], str):
            raise Malformed(f"{key} must be a text, it is {str(row[key])[:60]!r}")
    text = row[question]
    if question == "instruction" and row.get("input"):
        text = f"{text}\n\n{row['input']}"
    return [{"role": "user", "content": text}, {"role": "assistant", "content": row[answer]}]


def _sharegpt(turns: Any) -> list[Message]:
    if not isinstance(turns, list) or not turns:
        raise Malformed(f"conversations must be a list of turns, it is {str(turns)[:60]!r}")
    messages = []
    for number, turn in enumerate(turns):
        role = SHAREGPT_ROLES.get(str(turn.get("from"))) if isinstance(turn, dict) else None
        if role is None:
            raise Malformed(
                f"conversations[{number}].from must be one of {', '.join(SHAREGPT_ROLES)}: {str(turn)[:60]!r}"
            )
        messages.append(_message({"role": role, "content": turn.get("value")}, key=f"conversations[{number}]"))
    return messages


def _message(value: Any, *, key: str) -> Message:
    if not isinstance(value, dict) or value.get("role") not in ROLES:
        raise Malformed(f"{key}.role must be one of {', '.join(ROLES)}: {str(value)[:60]!r}")
    if not isinstance(value.get("content"), str):
        raise Malformed(f"{key}.content must be a text, it is {str(value.get('content'))[:60]!r}")
    return {"role": value["role"], "content": value["content"]}
