"""Settings of every command of nemo-launcher."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from msgspec import Meta

WORDS = "key=value words: a param, <stage>.<setting>, <stage>.resources.cpus, executor.cpus, targets, run_dir ..."


@dataclass(frozen=True, kw_only=True)
class WorkflowSettings:
    """Settings of `run` and `plan`."""

    workflow: Annotated[Path, Meta(description="The workflow file.")]
    overrides: Annotated[list[str], Meta(description=WORDS)] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class RunReference:
    """Settings of `resume`, `status` and `cancel`."""

    run: Annotated[str | None, Meta(description="Folder or name of the run; the latest under runs/ by default.")] = None


@dataclass(frozen=True, kw_only=True)
class LogsSettings:
    """Settings of `logs`."""

    run: Annotated[str | None, Meta(description="Folder or name of the run; the latest under runs/ by default.")] = None
    stage: Annotated[str | None, Meta(description="Stage whose whole log to print; a few lines of each otherwise.")] = (
        None
    )
    follow: Annotated[bool, Meta(description="Go on printing until the stage ends.")] = False
    lines: Annotated[int, Meta(ge=1, description="Lines of each stage where none is named.")] = 5


@dataclass(frozen=True, kw_only=True)
class ListSettings:
    """Settings of `ls`."""

    folder: Annotated[Path, Meta(description="Folder that holds the runs.")] = Path("runs")


@dataclass(frozen=True, kw_only=True)
class ShellSettings:
    """Settings of `shell`."""

    output: Annotated[Path, Meta(description="Artifact folder to make.")]
    command: Annotated[str, Meta(min_length=1, description="Command for /bin/sh, run inside the new artifact folder.")]
    kind: Annotated[str, Meta(description="Kind of artifact that the files make up.")] = "documents"
    input: Annotated[
        str | dict[str, str],
        Meta(description="Folder or file, given to the command as $INPUT; a mapping gives $INPUT_<NAME> each."),
    ] = field(default_factory=dict)
    keep_partial: Annotated[bool, Meta(description="After a crash, start in the half-written folder, not afresh.")] = (
        False
    )
    overwrite: Annotated[bool, Meta(description="Replace an existing output.")] = False
