"""Console script ``nemo-core``: the list of its commands."""

from collections.abc import Sequence

from .commands import checkpoint, data, embedding, evaluation, inference, peft, train
from .foundation.command import WAIT_PASSIVELY, Program
from .foundation.command import main as run_program

PROGRAM = Program(
    package="nemo-core",
    summary="Language models on a laptop CPU or a cluster: definitions, checkpoints, training, PEFT and generation.",
    commands=(
        *data.COMMANDS,
        *train.COMMANDS,
        *evaluation.COMMANDS,
        *embedding.COMMANDS,
        *inference.COMMANDS,
        *peft.COMMANDS,
        *checkpoint.COMMANDS,
    ),
    environment=WAIT_PASSIVELY,
)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line `words` (default: this process's) and return its exit code."""
    return run_program(PROGRAM, words)
