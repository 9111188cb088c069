"""The texts that are asked, filled in, and lists in answers read back."""

import re
from functools import cache
from importlib.resources import files
from typing import Any

from ..foundation.settings import RecipeLoader

ITEM = re.compile(r"^\s*(?:\d+\s*[.):]|[-*•])\s+(.+)$")
MARKS = "*_\"' "


@cache
def templates() -> dict[str, Any]:
    """Every template by task."""
    text = (files(__package__) / "templates.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = RecipeLoader(text).get_single_data()
    return found


def user(task: str, **values: object) -> list[dict[str, str]]:
    """The template of a task as a conversation of one message."""
    return [{"role": "user", "content": templates()[task].format(**values)}]


def read_list(answer: str, *, limit: int) -> list[str]:
    """Items of a numbered or bulleted list, without marks around them; what stands around the list is no item."""
    found = [match[1].strip(MARKS) for line in answer.splitlines() if (match := ITEM.match(line))]
    return list(dict.fromkeys(item for item in found if item))[:limit]
