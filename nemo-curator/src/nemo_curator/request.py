"""What an unfinished run was asked for, kept in its draft, so that it can be continued without asking again.

Settings name the environment variable that holds a key, never the key: whoever continues a run has it in the
environment again.
"""

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .foundation import artifact
from .foundation.atomic import write_text
from .foundation.errors import ConfigError
from .foundation.settings import to_plain

REQUEST = ".request.json"


@dataclass(frozen=True, kw_only=True)
class Request:
    """Settings (as "module:class" and values), the folder that they were given in, and what the inputs were then."""

    settings: str
    values: dict[str, Any]
    folder: str
    inputs: dict[str, dict[str, str]]
    files: dict[str, int]


@contextmanager
def begun(
    settings: Any,
    *,
    kind: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, Path] | None = None,
    files: Mapping[str, int] | None = None,
    output: Path | None = None,
) -> Iterator[artifact.Draft]:
    """The draft of the artifact ``settings.output``, with a note of the settings until it is finished.

    `inputs` and `files` (bytes by name) are what must be the same when it is continued. `output` is one of several
    artifacts of a run, which keeps its note itself. Raises what `artifact.create` does, and ConfigError where nothing
    can be written.
    """
    check_writable(output or settings.output)
    with artifact.create(
        output or settings.output,
        kind=kind,
        package="nemo-curator",
        config=config,
        inputs=inputs,
        overwrite=settings.overwrite,
    ) as draft:
        if output is None:
            save(draft.path, settings, inputs=inputs or {}, files=files)
        yield draft
    if output is None:
        forget(settings.output)


def check_writable(output: Path) -> None:
    """Raise ConfigError where the folder that `output` would be made in takes no files, or cannot be made itself."""
    parent = next((folder for folder in output.absolute().parents if folder.exists()), output.absolute().parent)
    if not parent.is_dir():
        raise ConfigError(f"{output}: cannot be written, because {parent} is no folder; name another output")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigError(f"{output}: cannot be written, because {parent} is read-only; name another output")
    try:
        output.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return  # which making the artifact explains
        raise ConfigError(f"{output}: cannot be written ({error.strerror}); name another output") from None


def say_when_nothing_stays(stats: Mapping[str, Any]) -> None:
    """Say on stderr why not one document came out, where some went in."""
    if stats["documents_out"] or not stats["documents_in"]:
        return
    reasons: dict[str, int] = {}
    for step in stats["funnel"]:
        for reason, count in step["dropped"].items():
            reasons[reason] = reasons.get(reason, 0) + count
    most = max(reasons, key=lambda reason: reasons[reason])
    shown = next((each["detail"] for each in stats["examples"].get(most, []) if each["detail"]), "")
    print(
        f"no document stays of {stats['documents_in']}, most went for {most}{f' ({shown})' if shown else ''}; "
        "the report shows examples",
        file=sys.stderr,
    )


def save(folder: Path, settings: Any, *, inputs: Mapping[str, Path], files: Mapping[str, int] | None = None) -> None:
    """Write the note into the folder of a run that begins or goes on."""
    kind = type(settings)
    plain = {
        "settings": f"{kind.__module__}:{kind.__qualname__}",
        "values": to_plain(settings),
        "folder": str(Path.cwd()),
        "inputs": artifact.describe_inputs(inputs),
        "files": dict(files or {}),
    }
    write_text(folder / REQUEST, json.dumps(plain))


def load(folder: Path) -> Request | None:
    """What `save` wrote; None where there is nothing to read."""
    try:
        return Request(**json.loads((folder / REQUEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def forget(folder: Path) -> None:
    """Remove the note of a run that is finished."""
    (folder / REQUEST).unlink(missing_ok=True)
