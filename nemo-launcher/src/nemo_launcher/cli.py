"""Console script ``nemo-launcher``: the list of its commands."""

import json
import sys
from collections.abc import Sequence

from .foundation.artifact import KINDS
from .foundation.command import Command, Program, Stage, StageInput
from .foundation.command import main as run_program

POSITIONAL = {
    "run": ("workflow",),
    "plan": ("workflow",),
    "resume": ("run",),
    "status": ("run",),
    "cancel": ("run",),
    "logs": ("run", "stage"),
    "report": ("run",),
    "ls": ("folder",),
}
TAKES_OVERRIDES = ("run", "plan")

PROGRAM = Program(
    package="nemo-launcher",
    summary="Run whole language-model workflows, on a laptop or a cluster, and survive any crash.",
    commands=(
        Command(
            name="run",
            summary="run a workflow; what is done already is skipped, what was interrupted continues",
            settings="nemo_launcher.settings:WorkflowSettings",
            run="nemo_launcher.commands.run:run",
            examples=(
                "nemo-launcher run workflow.yaml",
                "nemo-launcher run workflow.yaml input=/data/warcs pretrain.steps=50 curate.resources.cpus=1",
            ),
            positional="workflow",
        ),
        Command(
            name="plan",
            summary="show what a run would do and what it would skip; write nothing",
            settings="nemo_launcher.settings:WorkflowSettings",
            run="nemo_launcher.commands.plan:run",
            examples=("nemo-launcher plan workflow.yaml",),
            positional="workflow",
        ),
        Command(
            name="resume",
            summary="continue an interrupted run; stages that still run are taken over",
            settings="nemo_launcher.settings:RunReference",
            run="nemo_launcher.commands.resume:run",
            examples=("nemo-launcher resume runs/quickstart",),
            positional="run",
        ),
        Command(
            name="status",
            summary="show where each stage of a run is",
            settings="nemo_launcher.settings:RunReference",
            run="nemo_launcher.commands.status:run",
            examples=("nemo-launcher status quickstart",),
            positional="run",
        ),
        Command(
            name="logs",
            summary="print the logs of a run's stages",
            settings="nemo_launcher.settings:LogsSettings",
            run="nemo_launcher.commands.logs:run",
            examples=("nemo-launcher logs quickstart pretrain follow=true",),
            positional="run",
        ),
        Command(
            name="cancel",
            summary="stop a run and its stages; 'resume' continues it later",
            settings="nemo_launcher.settings:RunReference",
            run="nemo_launcher.commands.cancel:run",
            examples=("nemo-launcher cancel quickstart",),
            positional="run",
        ),
        Command(
            name="report",
            summary="write the HTML report of a run anew, finished or not",
            settings="nemo_launcher.settings:RunReference",
            run="nemo_launcher.report.command:run",
            examples=("nemo-launcher report quickstart",),
            positional="run",
        ),
        Command(
            name="ls",
            summary="list the runs in a folder",
            settings="nemo_launcher.settings:ListSettings",
            run="nemo_launcher.commands.ls:run",
            examples=("nemo-launcher ls",),
            positional="folder",
        ),
        Command(
            name="shell",
            summary="run a command line and keep the files it writes as an artifact",
            settings="nemo_launcher.settings:ShellSettings",
            run="nemo_launcher.shell:run",
            examples=("nemo-launcher shell output=words command='wc -w $INPUT > words.txt' input=book.txt",),
            stage=Stage(
                inputs={"input": StageInput(kinds=KINDS, required=False, external=True)},
                output="{kind}",
                memory_gib=0.5,
            ),
        ),
    ),
)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line `words` (default: this process's) and return its exit code."""
    return run_program(PROGRAM, as_settings(sys.argv[1:] if words is None else words))


def as_settings(words: Sequence[str]) -> list[str]:
    """Bare words as settings of the command: ``logs quickstart pretrain`` is ``logs run=quickstart stage=pretrain``.

    The words after a workflow file belong to the workflow, so they are handed over as one list.
    """
    if not words or words[0] not in POSITIONAL:
        return list(words)
    command, names = words[0], POSITIONAL[words[0]]
    options = [word for word in words[1:] if word.startswith("--")]
    bare = [word for word in words[1:] if "=" not in word and not word.startswith("--")]
    keyed = [word for word in words[1:] if "=" in word and not word.startswith("--")]
    placed = [f"{name}={json.dumps(word)}" for name, word in zip(names, bare)]
    extra = bare[len(names) :]
    if command in TAKES_OVERRIDES:
        placed += [f"overrides={json.dumps([*keyed, *extra])}"] if keyed or extra else []
    else:
        placed += [*keyed, *extra]
    return [command, *placed, *options]
