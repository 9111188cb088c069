"""Console script ``nemo-curator``: the list of its commands."""

from collections.abc import Sequence

from .commands import acquire, arrange, classify, filter, pipeline, redact, synthesize
from .foundation.command import Program
from .foundation.command import main as run_program

PROGRAM = Program(
    package="nemo-curator",
    summary="Clean, filter and deduplicate text for training language models.",
    commands=(
        *acquire.COMMANDS,
        *pipeline.COMMANDS,
        *filter.COMMANDS,
        *classify.COMMANDS,
        *redact.COMMANDS,
        *arrange.COMMANDS,
        *synthesize.COMMANDS,
    ),
    doctor="nemo_curator.doctor:checks",
)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line `words` (default: this process's) and return its exit code."""
    return run_program(PROGRAM, words)
