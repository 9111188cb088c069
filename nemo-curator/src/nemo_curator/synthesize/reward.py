"""How good answers are: numbers from a function of the user's, a judge or a reward model."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from ..foundation.errors import ConfigError, InputError
from .endpoint.ask import Asker
from .generate_settings import Reward
from .templates import user

Conversation = list[dict[str, str]]
NUMBER = r"[-+]?\d+(?:\.\d+)?"
NAMED = re.compile(rf"([A-Za-z_][\w -]*?)\s*[:=]\s*({NUMBER})")


def rewards(conversations: Sequence[Conversation], settings: Reward, asker: Asker) -> list[float | None]:
    """A number for each conversation; None where an answer of the judge holds none."""
    if settings.function:
        return by_function(conversations, settings.function)
    assert settings.endpoint is not None
    judge = Asker(endpoint=settings.endpoint, sampling=replace(asker.sampling, temperature=0.0), journal=asker.journal)
    if settings.kind == "judge":
        requests = [judge.request(user("judge", conversation=as_text(each))) for each in conversations]
    else:
        requests = [judge.request(each) for each in conversations]
    return [number_in(answer.text, settings.attribute) for answer in judge.ask(requests, "rewards")]


def by_function(conversations: Sequence[Conversation], name: str) -> list[float | None]:
    """What a function says. Raises ConfigError where there is none, InputError where it fails."""
    function = find(name)
    try:
        found = [float(value) for value in function(list(conversations))]
    except Exception as error:
        raise InputError(f"reward.function: {name} failed on {len(conversations)} conversations: {error!r}") from error
    if len(found) != len(conversations):
        raise InputError(f"reward.function: {name} gave {len(found)} numbers for {len(conversations)} conversations")
    return list(found)


def find(name: str) -> Callable[[list[Conversation]], Sequence[float]]:
    """The function behind module:function."""
    module, _, attribute = name.partition(":")
    try:
        found: Any = getattr(import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError, ValueError) as error:
        raise ConfigError(f"reward.function: {name!r} cannot be found ({error}); write module:function") from None
    if not callable(found):
        raise ConfigError(f"reward.function: {name!r} is no function but {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def number_in(text: str, attribute: str) -> float | None:
    """The number called `attribute`, or the first; None where there is none."""
    named = {name.strip().lower(): float(value) for name, value in NAMED.findall(text)}
    if attribute:
        return named.get(attribute.lower())
    first = re.search(NUMBER, text)
    return float(first[0]) if first else None


def as_text(conversation: Conversation) -> str:
    """A conversation as a judge reads it."""
    return "\n\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in conversation)
