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
            "nemo-curator run pipeline=fineweb input=crawl output=documents",
        ),
        stage=Stage(
            inputs={"input": StageInput(kinds=("raw-web", "documents"), external=True)},
            output="documents",
            cpus=2,
            memory_gib=4,
        ),
    ),
    Command(
        name="plan",
        summary="what a run would take: documents, time, memory, disk, from a measured sample; nothing is written",
        settings="nemo_curator.recipe:Plan",
        run="nemo_curator.estimate.command:run",
        examples=("nemo-curator plan recipe.yaml input=crawl output=documents",),
    ),
    Command(
        name="resume",
        summary="continue any unfinished command with its own settings",
        settings="nemo_curator.recipe:Resume",
        run="nemo_curator.resume:run",
        examples=("nemo-curator resume documents", "nemo-curator resume documents workers=4"),
        positional="output",
    ),
    Command(
        name="pipelines",
        summary="list the ready pipelines, or show one as YAML",
        settings="nemo_curator.recipe:Pipelines",
        run="nemo_curator.recipes:run",
        examples=("nemo-curator pipelines", "nemo-curator pipelines fineweb > recipe.yaml"),
        positional="name",
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
        name="report",
        summary="the page about an artifact that exists already, drawn anew",
        settings="nemo_curator.recipe:Report",
        run="nemo_curator.report.again:run",
        examples=("nemo-curator report documents=documents",),
    ),
)
