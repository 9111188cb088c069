"""What a ``key=value`` word means for a workflow: a param, a setting of a stage, or a key of the file itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..foundation.errors import ConfigError
from ..foundation.settings import COMMAND_LINE, Key, Sourced, apply_override, did_you_mean
from .schema import STAGE_KEYS, TOP_KEYS


def apply(sourced: Sourced, word: str, file: Path) -> None:
    """Set what `word` names. Raises ConfigError with the nearest known name where nothing is called so."""
    name, equals, text = word.partition("=")
    if not equals:
        raise ConfigError(f"{COMMAND_LINE}: {word!r} is no setting; write key=value, for example pretrain.steps=50")
    apply_override(sourced, f"{'.'.join(locate(name.strip(), sourced.values, file))}={text}")


def locate(name: str, values: Mapping[str, Any], file: Path) -> Key:
    """The key of the workflow that a word's name stands for."""
    head, *rest = name.split(".")
    params, stages = values.get("params") or {}, values.get("stages") or {}
    if head == "params":
        return ("params", *require(rest, params, "param", name, file))
    if head == "stages":
        stage, *inner = require(rest, stages, "stage", name, file)
        return ("stages", stage, *inner)
    if head in stages and (rest or head not in params):
        return stage_key(head, rest)
    if head in params:
        return ("params", head, *rest)
    if head in TOP_KEYS:
        return (head, *rest)
    known = [*params, *stages, *(k for k in TOP_KEYS if k not in ("params", "stages"))]
    raise ConfigError(
        f"{COMMAND_LINE}: {name!r}: {file} has no param or stage {head!r}{did_you_mean(head, known)} "
        f"(params: {', '.join(params) or 'none'}; stages: {', '.join(stages)})"
    )


def stage_key(stage: str, rest: list[str]) -> Key:
    """`curate.resources.cpus` is a key of the stage; `pretrain.steps` a setting of its command."""
    if not rest:
        raise ConfigError(
            f"{COMMAND_LINE}: {stage!r} is a stage; name a setting of it ({stage}.<setting>=...) "
            f"or one of {', '.join(f'{stage}.{k}' for k in STAGE_KEYS)}"
        )
    return ("stages", stage, *rest) if rest[0] in STAGE_KEYS else ("stages", stage, "with", *rest)


def require(rest: list[str], known: Mapping[str, Any], what: str, name: str, file: Path) -> list[str]:
    """`rest`, whose first part is a known name."""
    if rest and rest[0] in known:
        return rest
    wanted = rest[0] if rest else ""
    raise ConfigError(
        f"{COMMAND_LINE}: {name!r}: {file} has no {what} {wanted!r}{did_you_mean(wanted, known)} "
        f"({what}s: {', '.join(known) or 'none'})"
    )
