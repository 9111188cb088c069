"""Console script ``nemo-deploy``: the list of its commands."""

from collections.abc import Sequence

from nemo_core.foundation.command import WAIT_PASSIVELY, Command, Program, Stage, StageInput
from nemo_core.foundation.command import main as run_program

PROGRAM = Program(
    package="nemo-deploy",
    summary="Export language models and serve them over an OpenAI-compatible API.",
    commands=(
        Command(
            name="export",
            summary="write a checked Hugging Face folder from a checkpoint, its adapter merged",
            settings="nemo_deploy.export.settings:ExportSettings",
            run="nemo_deploy.export.run:run",
            examples=("nemo-deploy export model=runs/sft output=runs/exported",),
            stage=Stage(
                inputs={
                    "model": StageInput(kinds=("checkpoint", "exported"), external=True),
                    "adapter": StageInput(kinds=("adapter",), required=False, external=True),
                },
                output="exported",
            ),
        ),
        Command(
            name="serve",
            summary="answer over HTTP: OpenAI API, health, metrics and a chat page",
            settings="nemo_deploy.serve.settings:ServeSettings",
            run="nemo_deploy.serve.run:run",
            examples=("nemo-deploy serve runs/exported", "nemo-deploy serve runs/exported port=8080 max_slots=32"),
            positional="model",
        ),
        Command(
            name="ask",
            summary="start a server, ask it questions over its API, and keep the transcript",
            settings="nemo_deploy.ask.settings:AskSettings",
            run="nemo_deploy.ask.run:run",
            examples=("nemo-deploy ask model=runs/exported question='What is textwrap?' output=runs/answers",),
            stage=Stage(
                inputs={
                    "model": StageInput(kinds=("exported", "checkpoint"), external=True),
                    "questions": StageInput(kinds=(), required=False, external=True),
                },
                output="endpoint",
            ),
        ),
    ),
    environment=WAIT_PASSIVELY,
)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line `words` (default: this process's) and return its exit code."""
    return run_program(PROGRAM, words)
