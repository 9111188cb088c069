"""Secrets are passed by reference: a stage inherits the environment, and no file of a run holds its values."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..foundation.errors import ConfigError
from ..foundation.settings import Key, Sourced

SECRET_NAME = re.compile(r"(^|_)(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_|$)", re.IGNORECASE)
FROM_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?(\w+)")


def is_secret(name: str) -> bool:
    """True for names such as HF_TOKEN or WANDB_API_KEY; false for max_tokens or tokenizer."""
    return SECRET_NAME.search(name) is not None


def refuse_secrets(sourced: Sourced) -> None:
    """Raise ConfigError where a secret's value would end up in the run's files."""
    for key, text in strings(sourced.values, ()):
        for variable in FROM_ENVIRONMENT.findall(text):
            if is_secret(variable):
                raise ConfigError(f"{sourced.place(key)}: {'.'.join(key)} would write ${variable} into files; {REMEDY}")
    for stage, body in (sourced.values.get("stages") or {}).items():
        for name in (body or {}).get("env") or {} if isinstance(body, dict) else {}:
            if is_secret(str(name)):
                key = ("stages", stage, "env", str(name))
                raise ConfigError(f"{sourced.place(key)}: {'.'.join(key)} would be written into files; {REMEDY}")


REMEDY = "leave it out and set the variable in the shell: stages inherit the environment"


def strings(value: Any, key: Key) -> Iterator[tuple[Key, str]]:
    """Every string in `value` with its key."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from strings(inner, (*key, str(name)))
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, key)


def redacted(words: Sequence[str]) -> list[str]:
    """Command line words, the values of secret names replaced by `***`."""
    return [redact(word) for word in words]


def redact(word: str) -> str:
    """`word`, or its name with `***` where the name is a secret's."""
    name, equals, _ = word.partition("=")
    return f"{name}=***" if equals and is_secret(name.rpartition(".")[2]) else word
