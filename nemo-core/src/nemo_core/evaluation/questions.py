"""Questions of a task, read from JSONL: ones with `choices` are judged by likelihood, others by what is generated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.documents import parse_object, read_lines
from ..foundation.errors import InputError

PROMPTS = ("prompt", "question", "context", "query", "input")
ANSWERS = ("answer", "answers", "output", "target", "gold", "label")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Question:
    """A prompt with either choices and the number of the right one, or (no choices) the answers that count as right."""

    prompt: str
    choices: tuple[str, ...]
    right: int
    references: tuple[str, ...]
    place: str

    @property
    def solution(self) -> str:
        """The text that answers it."""
        return self.choices[self.right] if self.choices else self.references[0]


def read_questions(path: Path) -> list[Question]:
    """All questions of a file. Raises InputError naming file:line for a row that is none, or a file without any."""
    if not path.is_file():
        raise InputError(f"{path}: no such file of questions")
    found = [question_of(parse_object(path, number, line), f"{path}:{number}") for number, line in read_lines(path)]
    if not found:
        raise InputError(f"{path}: holds no question")
    return found


def question_of(row: Mapping[str, Any], place: str) -> Question:
    """The question in a row."""
    prompt = first_of(row, PROMPTS)
    answer = first_of(row, ANSWERS)
    choices = row.get("choices", row.get("options", ()))
    if not isinstance(prompt, str) or answer is None:
        raise InputError(f"{place}: a question needs a text in one of {', '.join(PROMPTS)} and an `answer`")
    if not choices:
        texts = tuple(map(str, answer)) if isinstance(answer, list) else (str(answer),)
        if not texts:
            raise InputError(f"{place}: `answer` is an empty list")
        return Question(prompt, (), -1, texts, place)
    if not isinstance(choices, list) or not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise InputError(f"{place}: `choices` is a list of texts, none of them empty")
    return Question(prompt, tuple(choices), right_choice(answer, choices, place), (), place)


def first_of(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value under the first of the names that the row has."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def right_choice(answer: Any, choices: Sequence[str], place: str) -> int:
    """Number of the right choice, given as its text, its number from 0 or its letter."""
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    if isinstance(answer, str) and len(answer) == 1 and answer in LETTERS[: len(choices)]:
        return LETTERS.index(answer)
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        return answer
    raise InputError(
        f"{place}: answer {answer!r} is none of {len(choices)} choices; give text, number from 0 or letter from A"
    )
