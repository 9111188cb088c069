"""Console script ``nemo-launcher``: the list of its commands."""

from collections.abc import Sequence

from .foundation.command import Program
from .foundation.command import main as run_program

PROGRAM = Program(
    package="nemo-launcher",
    summary="Run whole language-model workflows, on a laptop or a cluster, and survive any crash.",
    commands=(),
)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line `words` (default: this process's) and return its exit code."""
    return run_program(PROGRAM, words)
