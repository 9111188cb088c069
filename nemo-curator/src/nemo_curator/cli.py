"""Console script ``nemo-curator``: the list of its commands."""

from collections.abc import Sequence

from .foundation.command import Command, Program, Stage, StageInput
from .foundation.command import main as run_program

DOCUMENTS = StageInput(kinds=("documents",))

PROGRAM = Program(
    package="nemo-curator",
    summary="Clean, filter and deduplicate text for training language models.",
    commands=(
        Command(
            name="acquire",
            summary="make raw web pages: the running Python's documentation, packed as WARC",
            settings="nemo_curator.acquire.settings:Acquire",
            run="nemo_curator.acquire.run:run",
            examples=("nemo-curator acquire source=python-docs output=pages",),
            stage=Stage(inputs={}, output="raw-web", cpus=2, memory_gib=1),
        ),
        Command(
            name="run",
            summary="pages or texts to documents: extract, repair, filter, deduplicate, with a report",
            settings="nemo_curator.recipe:Run",
            run="nemo_curator.curation:run",
            examples=(
                "nemo-curator run input=pages output=documents",
                "nemo-curator run recipe.yaml input=crawl output=documents workers=8",
            ),
            stage=Stage(
                inputs={"input": StageInput(kinds=("raw-web", "documents"), external=True)},
                output="documents",
                cpus=2,
                memory_gib=4,
            ),
        ),
        Command(
            name="explain",
            summary="what happened to one document, and why",
            settings="nemo_curator.recipe:Explain",
            run="nemo_curator.explain:run",
            examples=("nemo-curator explain 'pages-00000.warc.gz#00000012' documents=documents",),
            positional="id",
        ),
        Command(
            name="questions",
            summary="question and answer pairs derived from documents",
            settings="nemo_curator.synthesize.settings:Questions",
            run="nemo_curator.synthesize.questions:run",
            examples=("nemo-curator questions documents=documents output=questions",),
            stage=Stage(inputs={"documents": DOCUMENTS}, output="conversations", memory_gib=1),
        ),
        Command(
            name="preferences",
            summary="pairs of a good and a poor answer, for alignment",
            settings="nemo_curator.synthesize.settings:Preferences",
            run="nemo_curator.synthesize.preferences:run",
            examples=("nemo-curator preferences conversations=questions output=preferences seed=0",),
            stage=Stage(
                inputs={"conversations": StageInput(kinds=("conversations",))}, output="preferences", memory_gib=1
            ),
        ),
    ),
    doctor="nemo_curator.doctor:checks",
)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line `words` (default: this process's) and return its exit code."""
    return run_program(PROGRAM, words)
