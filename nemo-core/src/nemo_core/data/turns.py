"""Turns of a conversation in the forms that data sets write them, each with whether it is to be learnt."""

from dataclasses import dataclass
from typing import Any

Message = dict[str, str]

ROLES = ("system", "user", "assistant", "tool")
SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "tool": "tool",
    "observation": "tool",
}


class Malformed(ValueError):
    """Says what is wrong with a row; the reader adds the place."""


@dataclass(frozen=True)
class Turn:
    """A message and whether training learns to say it."""

    message: Message
    learnt: bool


def as_messages(value: Any, *, role: str, key: str) -> list[Turn]:
    """A text as one turn of `role`, or a list of turns as it is. Raises Malformed."""
    if isinstance(value, str):
        return [Turn({"role": role, "content": value}, learnt=role == "assistant")]
    if not isinstance(value, list) or not value:
        raise Malformed(f"{key} must be a text or a list of messages, it is {str(value)[:60]!r}")
    return [openai_turn(item, key=f"{key}[{number}]") for number, item in enumerate(value)]


def openai_turn(value: Any, *, key: str) -> Turn:
    """A message as OpenAI writes it; `weight` 0 keeps an assistant's from being learnt. Raises Malformed."""
    if not isinstance(value, dict) or value.get("role") not in ROLES:
        raise Malformed(f"{key}.role must be one of {', '.join(ROLES)}: {str(value)[:60]!r}")
    weight = value.get("weight", 1)
    if weight not in (0, 1):
        raise Malformed(f"{key}.weight must be 0 or 1, it is {weight!r}")
    if value.get("tool_calls"):
        raise Malformed(f"{key}.tool_calls cannot be learnt; write the call as the message's content")
    message = {"role": value["role"], "content": _text(value.get("content"), key=f"{key}.content")}
    return Turn(message, learnt=value["role"] == "assistant" and weight == 1)


def _text(content: Any, *, key: str) -> str:
    """A content that is a text, or a list of text parts."""
    if isinstance(content, list) and all(isinstance(p, dict) and isinstance(p.get("text"), str) for p in content):
        return "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise Malformed(f"{key} must be a text, it is {str(content)[:60]!r}")
    return content


def pair_turns(row: dict[str, Any], question: str, answer: str) -> list[Turn]:
    """One question and its answer; an instruction is followed by its input. Raises Malformed."""
    for key in (question, answer):
        if not isinstance(row[key], str):
            raise Malformed(f"{key} must be a text, it is {str(row[key])[:60]!r}")
    text = row[question]
    if question == "instruction" and row.get("input"):
        text = f"{text}\n\n{row['input']}"
    return [
        Turn({"role": "user", "content": text}, learnt=False),
        Turn({"role": "assistant", "content": row[answer]}, learnt=True),
    ]


def sharegpt_turns(turns: Any) -> list[Turn]:
    """Turns as ShareGPT writes them. Raises Malformed."""
    read = []
    for number, turn in enumerate(_list(turns)):
        role = SHAREGPT_ROLES.get(str(turn.get("from")).lower()) if isinstance(turn, dict) else None
        if role is None:
            raise Malformed(
                f"conversations[{number}].from must be one of {', '.join(SHAREGPT_ROLES)}: {str(turn)[:60]!r}"
            )
        content = _text(turn.get("value"), key=f"conversations[{number}].value")
        read.append(Turn({"role": role, "content": content}, learnt=role == "assistant"))
    return read


def nemo_turns(row: dict[str, Any]) -> list[Turn]:
    """Turns as NeMo's chat data has them: `mask` names the speaker who is not learnt from; the others answer.

    Rows of type TEXT_TO_VALUE or VALUE_TO_TEXT carry attribute labels for SteerLM and are refused if they have any.
    Raises Malformed.
    """
    masked = row["mask"]
    turns = _list(row["conversations"])
    if masked not in {turn.get("from") for turn in turns if isinstance(turn, dict)}:
        raise Malformed(f"mask={masked!r} names none of the speakers in conversations")
    read = []
    for number, turn in enumerate(turns):
        key = f"conversations[{number}]"
        if not isinstance(turn, dict) or not isinstance(turn.get("from"), str):
            raise Malformed(f"{key}.from must name the speaker: {str(turn)[:60]!r}")
        if turn.get("label") is not None:
            raise Malformed(
                f"{key}.label holds attributes (type={row.get('type')!r}); train on those with nemo-aligner"
            )
        learnt = turn["from"] != masked
        role = "assistant" if learnt else "user"
        read.append(Turn({"role": role, "content": _text(turn.get("value"), key=f"{key}.value")}, learnt=learnt))
    return read


def _list(turns: Any) -> list[Any]:
    if not isinstance(turns, list) or not turns:
        raise Malformed(f"conversations must be a list of turns, it is {str(turns)[:60]!r}")
    return turns
