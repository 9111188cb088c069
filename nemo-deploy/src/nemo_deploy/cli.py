"""Console script ``nemo-deploy``: the list of its commands."""

from collections.abc import Sequence

from nemo_core.foundation.command import Program
from nemo_core.foundation.command import main as run_program

PROGRAM = Program(
    package="nemo-deploy", summary="Export language models and serve them over an OpenAI-compatible API.", commands=()
)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line `words` (default: this process's) and return its exit code."""
    return run_program(PROGRAM, words)
