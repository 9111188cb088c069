"""``nemo-launcher shell``: any command line as a stage; the files it leaves in its folder become an artifact."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from .foundation import artifact
from .foundation.errors import EXIT_RETRY, InputError, RetryableError, UserError
from .foundation.progress import Progress
from .foundation.settings import to_plain
from .settings import ShellSettings

STATS = "stats.json"


def run(settings: ShellSettings) -> dict[str, Any]:
    """Run the command in a fresh artifact folder; a ``stats.json`` that it writes becomes the artifact's stats.

    Raises UserError where the command fails, RetryableError where it exits with 75 or is killed.
    """
    inputs = named_inputs(settings.input)
    with (
        artifact.create(
            settings.output,
            kind=settings.kind,
            package="nemo-launcher",
            config=to_plain(settings),
            inputs={"input" if not name else f"input.{name}": path for name, path in inputs.items()},
            overwrite=settings.overwrite,
        ) as draft,
        Progress(settings.command[:40], total=1, unit="command") as progress,
    ):
        if draft.resumed and not settings.keep_partial:
            clear(draft.path)
        execute(settings.command, draft.path, inputs)
        draft.stats.update(read_stats(draft.path / STATS))
        progress.advance()
    return {"output": str(settings.output), **draft.stats}


def named_inputs(given: str | dict[str, str]) -> dict[str, Path]:
    """Inputs by name, "" for a single one. InputError where one does not exist, ArtifactError where one is damaged."""
    named = {"": given} if isinstance(given, str) else given
    paths = {name: Path(text).expanduser().resolve() for name, text in named.items()}
    for path in paths.values():
        if not path.exists():
            raise InputError(f"input {path}: no such file or folder")
        if (path / artifact.MANIFEST).is_file():
            artifact.read(path, artifact.KINDS)
    return paths


def clear(folder: Path) -> None:
    """Remove what an interrupted command left, except the note that marks the folder as ours."""
    for path in folder.iterdir():
        if path.name == artifact.PROGRESS_NOTE:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def execute(command: str, folder: Path, inputs: dict[str, Path]) -> None:
    """Run the command in `folder`."""
    variables = {f"INPUT_{name.upper().replace('-', '_')}" if name else "INPUT": str(p) for name, p in inputs.items()}
    code = subprocess.run(
        ["/bin/sh", "-ec", command], cwd=folder, env={**os.environ, **variables}, check=False
    ).returncode
    if code == EXIT_RETRY or code < 0:
        raise RetryableError(f"command: {command!r} ended with {code}; running it again may succeed")
    if code:
        raise UserError(f"command: {command!r} failed with exit code {code}; its own output is above")


def read_stats(path: Path) -> dict[str, Any]:
    """The figures in a stats.json, {} where there is none."""
    if not path.is_file():
        return {}
    try:
        stats = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path.name}: written by the command, but not JSON ({error})") from None
    if not isinstance(stats, dict):
        raise UserError(f"{path.name}: must be a JSON object of figures, not a {type(stats).__name__}")
    return stats
