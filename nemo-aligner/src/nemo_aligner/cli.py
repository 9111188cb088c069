"""Console script ``nemo-aligner``: the list of its commands."""

from collections.abc import Sequence

from nemo_core.foundation.command import Program
from nemo_core.foundation.command import main as run_program

PROGRAM = Program(
    package="nemo-aligner",
    summary="DPO, GRPO and other alignment of language models, in one process or on Ray.",
    commands=(),
)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line `words` (default: this process's) and return its exit code."""
    return run_program(PROGRAM, words)
