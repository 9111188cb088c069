"""``nemo-curator resume``: an unfinished run continued with its own settings."""

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .foundation import artifact
from .foundation.command import resolve
from .foundation.errors import InputError
from .foundation.settings import Sourced, convert
from .read.files import list_input
from .recipe import Resume
from .shards import request as requests
from .shards.request import Request

SHOWN = 5


def run(settings: Resume) -> Any:
    """The result of the run. Raises InputError where there is none to continue, or its input is another now."""
    output = settings.output.absolute()
    request = find(output)
    with contextlib.chdir(request.folder):
        check_inputs(request)
        print(f"resume: {progress(output.with_name(f'{output.name}.partial') / 'work')}", file=sys.stderr)
        values = {**request.values, "output": str(output)}
        if settings.workers is not None:
            values["workers"] = settings.workers
        return action(request.settings)(convert(resolve(request.settings), Sourced(values, {})))


def find(output: Path) -> Request:
    """What the unfinished run of `output` was asked for."""
    partial = output.with_name(f"{output.name}.partial")
    if not partial.is_dir():
        state = "is finished" if (output / artifact.MANIFEST).is_file() else "was never begun"
        raise InputError(f"output={output}: {state}, so there is nothing to resume (no {partial.name})")
    request = requests.load(partial / "work")
    if request is None:
        raise InputError(
            f"output={output}: {partial.name} does not say what it was asked for; give its command again, "
            "which continues where it can"
        )
    if not Path(request.folder).is_dir():
        raise InputError(f"output={output}: its settings are relative to {request.folder}, which is gone")
    return request


def check_inputs(request: Request) -> None:
    """Raise InputError, naming what differs, where the inputs are no longer those that the run began with."""
    path = Path(request.values["input"])
    now = {file.name: file.num_bytes for file in list_input(path).files}
    differences = [
        *(f"{name} is gone" for name in request.files if name not in now),
        *(f"{name} is new" for name in now if name not in request.files),
        *(
            f"{name} has {now[name]} bytes, not {size}"
            for name, size in request.files.items()
            if now.get(name, size) != size
        ),
    ]
    described = artifact.describe_inputs({name: Path(each["path"]) for name, each in request.inputs.items()})
    differences = differences or [
        f"{each['path']} was written to"
        for name, each in request.inputs.items()
        if described[name]["digest"] != each["digest"]
    ]
    if differences:
        more = f" and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        raise InputError(
            f"input={path} changed since the run began: {', '.join(differences[:SHOWN])}{more}; bring it back as it "
            "was, or give the command again to start afresh"
        )


def action(settings: str) -> Callable[[Any], Any]:
    """The function of the command that has these settings."""
    from .cli import PROGRAM

    command = next((each for each in PROGRAM.commands if each.settings == settings), None)
    if command is None:
        raise InputError(f"no command has settings {settings}; it was begun by another version")
    found: Callable[[Any], Any] = resolve(command.run)
    return found


def progress(work: Path) -> str:
    """How far the run is."""
    plan = next((work / name for name in ("plan.json", "passage.json") if (work / name).is_file()), None)
    if plan is None:
        return "nothing is done yet"
    shards = len(json.loads(plan.read_text(encoding="utf-8"))["shards"])
    parts: Mapping[str, int] = {
        folder.name: sum(path.stem.isdigit() for path in folder.glob("*.json"))
        for folder in [work, *sorted(work.glob("segment-*"))]
    }
    done = [
        f"{name.replace('segment-', 'part ')}: {count} of {shards} shards" for name, count in parts.items() if count
    ]
    return f"done so far: {', '.join(done) or 'nothing'}"
