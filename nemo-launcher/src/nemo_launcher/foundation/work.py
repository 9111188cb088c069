"""What a run makes and of what, told from what another one makes: kind, settings and content of the inputs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def work_of(kind: str, config: Mapping[str, Any], inputs: Mapping[str, Mapping[str, str]]) -> list[Any]:
    """What a run makes: kind, settings without the places, and the content of its inputs."""
    places = {"output", "overwrite", *(name for name in inputs)}
    return [kind, {k: v for k, v in config.items() if k not in places}, {n: i["digest"] for n, i in inputs.items()}]


def what_differs(note: Path, work: Sequence[Any]) -> list[str]:
    """Settings and inputs in which the run that the `note` of a draft is of is not `work`, where the note tells."""
    try:
        kind, settings, inputs = json.loads(note.read_text(encoding="utf-8"))["work"]
        former = dict(flattened({**settings, **inputs}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    now = dict(flattened({**work[1], **work[2]}))
    changed = [name for name in {**former, **now} if former.get(name) != now.get(name)]
    kinds = [f"it makes a {kind}"] if kind != work[0] else []
    return kinds + [
        f"{name}: other content" if name in work[2] else f"{name} was {former.get(name)}, is {now.get(name)}"
        for name in changed
    ]


def flattened(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every value of nested mappings as JSON, under its dotted name."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value)
