"""Console script ``nemo-curator``: the list of its commands."""

import sys
from collections.abc import Sequence

from .commands import acquire, arrange, classify, dedup, filter, pipeline, redact, synthesize
from .foundation.command import Program
from .foundation.command import main as run_program
from .foundation.errors import EXIT_USER, SuiteError

PROGRAM = Program(
    package="nemo-curator",
    summary="Clean, filter and deduplicate text for training language models.",
    commands=(
        *acquire.COMMANDS,
        *pipeline.COMMANDS,
        *dedup.COMMANDS,
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
    from .old_names import modern

    try:
        ours = modern(list(sys.argv[1:] if words is None else words))
    except SuiteError as error:
        print(f"{PROGRAM.package}: error: {error}", file=sys.stderr)
        return error.exit_code
    if ours is None:
        return 0
    if ours[:1] == ["dedup"] and ours[1:] in ([], ["-h"], ["--help"]):
        print(dedup.overview())
        return 0 if ours[1:] else EXIT_USER
    return run_program(PROGRAM, dedup.joined(ours))
