"""Rows of conversations and preferences, from the suite's artifacts or from JSONL files as others write them.

Known forms of a conversation row: ``messages`` (ours and OpenAI's, with an optional ``weight`` of 0 or 1 each),
``conversations`` with ``from``/``value`` (ShareGPT; NeMo's, whose ``mask`` names the speaker not to learn from), and
one question with its answer as ``input``/``output``, ``prompt``/``completion``, ``prompt``/``response``,
``question``/``answer`` or ``instruction``(+``input``)/``output`` (Alpaca). A ``system`` text may stand beside each.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..foundation import artifact
from ..foundation.errors import InputError
from .documents import parse_object, read_lines
from .sources import as_url, exists, list_files
from .turns import Malformed, Turn, as_messages, nemo_turns, pair_turns, sharegpt_turns
from .turns import Message as Message

Row = TypeVar("Row")
Split = Literal["train", "validation"]

PAIRS = (
    ("instruction", "output"),
    ("input", "output"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
)


@dataclass(frozen=True)
class Conversation:
    """Turns of a conversation in order; `place` is the file:line it came from.

    `learn` says of each turn whether it is learnt; None: what the assistant says.
    """

    id: str
    messages: list[Message]
    place: str
    subject: str = ""
    learn: tuple[bool, ...] | None = None


@dataclass(frozen=True)
class Preference:
    """A prompt with the answer people want and one they do not."""

    id: str
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    place: str
    subject: str = ""
    margin: float = 0.0


@dataclass(frozen=True)
class Labelled:
    """A text, or a chat, with its class."""

    id: str
    text: str | list[Message]
    label: str
    place: str


def read_conversations(source: Path, split: Split = "train") -> list[Conversation]:
    """Conversations of a conversations artifact, or of a user's JSONL file or folder.

    Raises InputError naming file:line where a row is in no known form, or there is no row.
    """
    return _read(source, split, kind="conversations", parse=parse_conversation)


def read_preferences(source: Path, split: Split = "train") -> list[Preference]:
    """Preferences of a preferences artifact, or of a user's JSONL file or folder.

    A row has ``prompt``, ``chosen`` and ``rejected``, each a text or a list of messages, and perhaps a ``margin``, a
    number that says by how much `chosen` is to be preferred. Raises InputError naming
    file:line where it has not, or there is no row.
    """
    return _read(source, split, kind="preferences", parse=parse_preference)


def read_labelled(source: Path, split: Split = "train", *, text: str, label: str) -> list[Labelled]:
    """Texts with their classes of a user's JSONL file or folder, under the keys `text` and `label`.

    Raises InputError naming file:line where a row lacks one of them, or there is no row.
    """
    return _read(source, split, kind="documents", parse=partial(parse_labelled, text=text, label=label))


def has_split(source: Path, split: Split) -> bool:
    """Whether `source` keeps rows of that split apart."""
    return bool(_split_files(source, split))


def conversation_files(source: Path) -> list[Path]:
    """The files that `read_conversations` reads, of both splits; none for a source that is not there."""
    if source.is_file():
        return [source]
    return [*_split_files(source, "train"), *_split_files(source, "validation")] or list_files(source, SUFFIXES)


def _read(source: Path, split: Split, *, kind: str, parse: Callable[[dict[str, Any], str], Row]) -> list[Row]:
    rows = [row for path in _files(source, split, kind=kind) for row in _parse_file(path, parse)]
    if not rows:
        raise InputError(f"{source}: no rows in its {split} split; give at least one {kind.removesuffix('s')}")
    return rows


def _files(source: Path, split: Split, *, kind: str) -> list[Path]:
    if (source / artifact.MANIFEST).is_file():
        artifact.read(source, kind)
        return _split_files(source, split)
    found = _split_files(source, split) or list_files(source, SUFFIXES)
    if source.is_file():
        return [source]
    if not found:
        problem = "no JSONL file in it" if exists(source) else "no such file or folder"
        raise InputError(f"{source}: {problem}; give a {kind} artifact, or files named *{', *'.join(SUFFIXES)}")
    return found


SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")


def _split_files(source: Path, split: Split) -> list[Path]:
    if as_url(source):
        return []
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
    turns = _turns(row)
    messages = [turn.message for turn in turns]
    if not any(turn.learnt for turn in turns):
        if any(message["role"] == "assistant" for message in messages):
            raise Malformed("every assistant turn has weight 0 or is masked, so there is no answer to learn")
        raise Malformed("no assistant turn, so there is no answer to learn")
    usual = all(turn.learnt == (turn.message["role"] == "assistant") for turn in turns)
    learn = None if usual else tuple(turn.learnt for turn in turns)
    return Conversation(_id(row, place), messages, place, str(row.get("subject", "")), learn)


def parse_labelled(row: dict[str, Any], place: str, *, text: str, label: str) -> Labelled:
    """The text and the class in a row; a class may be a text, a number or a truth value. Raises Malformed."""
    missing = [key for key in (text, label) if row.get(key) is None]
    if missing:
        raise Malformed(f"no {' and no '.join(missing)} (keys: {', '.join(row) or 'none'})")
    if not isinstance(row[label], str | int):
        raise Malformed(f"{label} must be a text or a whole number, it is {row[label]!r}")
    content = row[text] if isinstance(row[text], str) else _messages(row, text, role="user")
    return Labelled(_id(row, place), content, str(row[label]), place)


def parse_preference(row: dict[str, Any], place: str) -> Preference:
    """The preference in a row. Raises Malformed."""
    missing = [key for key in ("prompt", "chosen", "rejected") if key not in row]
    if missing:
        raise Malformed(f"no {' and no '.join(missing)} (keys: {', '.join(row) or 'none'})")
    prompt = _messages(row, "prompt", role="user")
    chosen, rejected = (_messages(row, key, role="assistant") for key in ("chosen", "rejected"))
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
        _margin(row),
    )


def _margin(row: dict[str, Any]) -> float:
    """By how much the answer is preferred; 0 where the row does not say."""
    margin = row.get("margin")
    if margin is None:
        return 0.0
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not isfinite(margin):
        raise Malformed(f"margin is {margin!r}; it is a number, or left out")
    return float(margin)


def _messages(row: dict[str, Any], key: str, *, role: str) -> list[Message]:
    return [turn.message for turn in as_messages(row[key], role=role, key=key)]


def _after(prompt: list[Message], answer: list[Message]) -> list[Message]:
    """The answer without the prompt, which some data sets repeat in it."""
    return answer[len(prompt) :] if answer[: len(prompt)] == prompt else answer


def _id(row: Mapping[str, Any], place: str) -> str:
    return str(row.get("id", Path(place).name))


def _turns(row: dict[str, Any]) -> list[Turn]:
    turns = _own_turns(row)
    system = row.get("system")
    if isinstance(system, str) and system and turns[0].message["role"] != "system":
        turns = [Turn({"role": "system", "content": system}, learnt=False), *turns]
    return turns


def _own_turns(row: dict[str, Any]) -> list[Turn]:
    if "messages" in row:
        return as_messages(row["messages"], role="user", key="messages")
    if "conversations" in row:
        return nemo_turns(row) if "mask" in row else sharegpt_turns(row["conversations"])
    for question, answer in PAIRS:
        if question in row and answer in row:
            return pair_turns(row, question, answer)
    raise Malformed(
        f"in no known form (keys: {', '.join(row) or 'none'}); known: messages, conversations, "
        + ", ".join("/".join(pair) for pair in PAIRS)
    )
