"""Commands that run pipelines and explain their verdicts."""

from ..foundation.command import Command, Stage, StageInput

COMMANDS = (
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
)
