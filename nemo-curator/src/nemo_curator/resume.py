"""``nemo-curator resume``: an unfinished run continued with its own settings."""

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import request as requests
from .foundation import artifact
from .foundation.command import Command, resolve
from .foundation.errors import ConfigError, InputError
from .foundation.settings import Sourced, convert
from .read.files import list_input
from .recipe import Resume
from .request import Request

SHOWN = 5
PLACEMENT = ("workers", "memory_limit", "connections")
"""Settings that change nothing in the result, and so may be others than before."""
HOLDERS = ("endpoint", "download")
"""Groups of settings that may have them."""


def run(settings: Resume) -> Any:
    """The result of the run; None where it is finished.

    Raises InputError where there is none to continue, or its input is another now; ConfigError for a setting that its
    command does not have.
    """
    output = settings.output.absolute()
    request = find(output)
    if request is None:
        print(f"resume: {settings.output} is finished; there is nothing to do", file=sys.stderr)
        return None
    command = command_of(request.settings)
    with contextlib.chdir(request.folder):
        check_inputs(request)
        if Path(request.values["output"]).resolve() != output.resolve():
            request.values["output"] = str(output)
        values = placed(request.values, settings, command)
        print(f"resume: {command.name}: {progress(partial_of(output), request.values)}", file=sys.stderr)
        return resolve(command.run)(convert(resolve(command.settings), Sourced(values, {})))


def partial_of(output: Path) -> Path:
    """The draft of `output`."""
    return output.with_name(f"{output.name}.partial")


def find(output: Path) -> Request | None:
    """What the unfinished run of `output` was asked for; None where it is finished."""
    partial = partial_of(output)
    begun = partial.is_dir() or ((output / requests.REQUEST).is_file() and not (output / artifact.MANIFEST).is_file())
    if not begun and is_finished(output):
        return None
    if not begun:
        raise InputError(f"output={output}: was never begun, so there is nothing to resume; {neighbours(output)}")
    request = requests.load(partial if partial.is_dir() else output)
    if request is None:
        raise InputError(
            f"output={output}: {partial.name} does not say what it was asked for; give its command again, "
            "which continues where it can"
        )
    if not Path(request.folder).is_dir():
        raise InputError(f"output={output}: its settings are relative to {request.folder}, which is gone")
    return request


def is_finished(output: Path) -> bool:
    """Whether it is an artifact, or holds those of ``nemo-curator separate``."""
    if (output / artifact.MANIFEST).is_file():
        return True
    within = [artifact.load_manifest(path.parent) for path in output.glob(f"*/{artifact.MANIFEST}")]
    return bool(within) and all("separate" in str(each.config.get("pipeline")) for each in within)


def neighbours(output: Path) -> str:
    """What there is instead, in the folder of `output`."""
    folder = output.parent
    if not folder.is_dir():
        return f"{folder} is not there either"
    unfinished = [path.parent.name.removesuffix(".partial") for path in folder.glob(f"*/{requests.REQUEST}")]
    finished = [path.parent.name for path in folder.glob(f"*/{artifact.MANIFEST}")]
    return f"in {folder} unfinished: {named(unfinished)}; finished: {named(finished)}"


def named(names: Sequence[str]) -> str:
    """The first names."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(sorted(names)[:SHOWN])}{more}" if names else "none"


def check_inputs(request: Request) -> None:
    """Raise InputError, naming what differs, where the inputs are no longer those that the run began with."""
    shown = f"input={request.values['input']}" if "input" in request.values else "what it reads"
    paths = {name: Path(each["path"]) for name, each in request.inputs.items()}
    differences = changed_files(request) if request.files else []
    described = artifact.describe_inputs(paths)
    differences = differences or [
        f"{paths[name]} {'was written to' if paths[name].exists() else 'is gone'}"
        for name, each in request.inputs.items()
        if described[name]["digest"] != each["digest"]
    ]
    if differences:
        more = f" and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        raise InputError(
            f"{shown} changed since the run began: {', '.join(differences[:SHOWN])}{more}; bring it back as it "
            "was, or give the command again to start afresh"
        )


def changed_files(request: Request) -> list[str]:
    """The files of the input that are gone, new, or of another size."""
    now = {file.name: file.num_bytes for file in list_input(Path(request.values["input"])).files}
    return [
        *(f"{name} is gone" for name in request.files if name not in now),
        *(f"{name} is new" for name in now if name not in request.files),
        *(
            f"{name} has {now[name]} bytes, not {size}"
            for name, size in request.files.items()
            if now.get(name, size) != size
        ),
    ]


def command_of(settings: str) -> Command:
    """The command that has these settings."""
    from .cli import PROGRAM

    command = next((each for each in PROGRAM.commands if each.settings == settings), None)
    if command is None:
        raise InputError(f"no command has settings {settings}; it was begun by another version")
    return command


def placed(values: Mapping[str, Any], settings: Resume, command: Command) -> dict[str, Any]:
    """The run's own values with what is said of where it is done now."""
    changed: dict[str, Any] = {**values, **{name: dict(values[name]) for name in HOLDERS if name in values}}
    for name in PLACEMENT:
        value = getattr(settings, name)
        holders = [each for each in (changed, *map(changed.get, HOLDERS)) if each is not None and name in each]
        if value is not None and not holders:
            raise ConfigError(f"{name}={value}: {command.name} has no such setting; leave it out")
        for holder in holders if value is not None else ():
            holder[name] = value
    return changed


def progress(partial: Path, values: Mapping[str, Any]) -> str:
    """How far the run is."""
    work = partial / "work"
    listing = work / "listing.json"
    if listing.is_file():
        names = [each["name"] for each in json.loads(listing.read_text(encoding="utf-8"))]
        return f"{sum((partial / 'data' / name).is_file() for name in names)} of {len(names)} files are there"
    if "answers" in values:
        answers = Path(values["answers"] or f"{values['output']}.answers.jsonl")
        kept = answers.read_bytes().count(b"\n") if answers.is_file() else 0
        return f"begins its pass anew; {kept} answers are kept and not asked for again"
    return shards_done(work)


def shards_done(work: Path) -> str:
    """How many units of work are done, where a command keeps them."""
    parts = {
        folder.name: sum(path.stem.isdigit() for path in folder.glob("*.json"))
        for folder in [work, *sorted(work.glob("segment-*"))]
    }
    plan = next((work / name for name in ("plan.json", "passage.json") if (work / name).is_file()), None)
    if plan is None and not any(parts.values()):
        return "nothing is kept of it, so it begins anew with its own settings"
    total = f" of {len(json.loads(plan.read_text(encoding='utf-8'))['shards'])}" if plan else ""
    done = [f"{name.replace('segment-', 'part ')}: {count}{total} shards" for name, count in parts.items() if count]
    return f"done so far: {', '.join(done) or 'nothing'}"
