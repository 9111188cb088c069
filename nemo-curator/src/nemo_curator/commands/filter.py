"""Commands that score and filter documents."""

from ..foundation.command import Command, Stage, StageInput

OWN = StageInput(kinds=("documents",), external=True)
STAGE = Stage(inputs={"input": OWN}, output="documents", cpus=2, memory_gib=2)
COMMANDS = (
    Command(
        name="filter",
        summary="score documents by heuristics, and drop those beyond the limits of a preset or your own",
        settings="nemo_curator.filter.settings:Filter",
        run="nemo_curator.filter.command:run",
        examples=(
            "nemo-curator filter input=documents output=filtered preset=fineweb",
            "nemo-curator filter input=documents output=scored preset=nemo drop=false keep_scores=true",
            "nemo-curator filter input=scored output=strict preset=nemo min_words=100   # takes the scores it finds",
            "nemo-curator filter input=code.jsonl output=code preset=code text_field=content",
        ),
        stage=STAGE,
    ),
    Command(
        name="filter-lines",
        summary="remove the lines of pages that C4 removes",
        settings="nemo_curator.filter.settings:FilterLines",
        run="nemo_curator.filter.command:run_lines",
        examples=("nemo-curator filter-lines input=documents output=lines end_marks=false",),
        stage=STAGE,
    ),
    Command(
        name="filter-urls",
        summary="drop documents by lists of hosts, addresses and words in them",
        settings="nemo_curator.filter.settings:FilterUrls",
        run="nemo_curator.filter.command:run_urls",
        examples=("nemo-curator filter-urls input=documents output=safe blocked_domains=domains.txt",),
        stage=STAGE,
    ),
    Command(
        name="filter-bitext",
        summary="drop pairs of sentences that are no translations of each other",
        settings="nemo_curator.filter.settings:FilterBitext",
        run="nemo_curator.filter.command:run_bitext",
        examples=("nemo-curator filter-bitext input=pairs.jsonl output=pairs text_field=en target_column=de",),
        stage=STAGE,
    ),
    Command(
        name="filters",
        summary="list the rules of filter: thresholds, drop reasons, presets, sources",
        settings="nemo_curator.filter.settings:Filters",
        run="nemo_curator.filter.overview:run",
        examples=("nemo-curator filters preset=fineweb",),
    ),
)
