"""Commands that deduplicate; ``dedup exact`` is another way to write ``dedup-exact``."""

from ..foundation.command import Command, Stage, StageInput

STAGE = Stage(
    inputs={"input": StageInput(kinds=("raw-web", "documents"), external=True)},
    output="documents",
    cpus=2,
    memory_gib=4,
)
RUN = "nemo_curator.dedup.standalone:run"

COMMANDS = (
    Command(
        name="dedup-exact",
        summary="drop or report documents whose text another one has",
        settings="nemo_curator.dedup.standalone:DedupExact",
        run=RUN,
        examples=("nemo-curator dedup exact input=documents output=unique ignore_case_and_space=true",),
        stage=STAGE,
    ),
    Command(
        name="dedup-fuzzy",
        summary="drop or report documents whose text another one nearly has (MinHash LSH)",
        settings="nemo_curator.dedup.standalone:DedupFuzzy",
        run=RUN,
        examples=("nemo-curator dedup fuzzy input=documents output=unique recall=0.95 jaccard=0.8 verify=true",),
        stage=STAGE,
    ),
    Command(
        name="dedup-spans",
        summary="cut out lines, paragraphs or runs of sentences that occur more than once",
        settings="nemo_curator.dedup.standalone:DedupSpans",
        run=RUN,
        examples=("nemo-curator dedup spans input=documents output=trimmed unit=sentence window=3",),
        stage=STAGE,
    ),
    Command(
        name="dedup-substring",
        summary="cut out substrings of some length that occur more than once",
        settings="nemo_curator.dedup.standalone:DedupSubstring",
        run=RUN,
        examples=("nemo-curator dedup substring input=documents output=trimmed length=100",),
        stage=STAGE,
    ),
    Command(
        name="dedup-seen",
        summary="drop what this or an earlier run has seen: documents, paragraphs or lines (Bloom filter)",
        settings="nemo_curator.dedup.standalone:DedupSeen",
        run=RUN,
        examples=("nemo-curator dedup seen input=tuesday output=fresh seen=monday",),
        stage=STAGE,
    ),
    Command(
        name="dedup-semantic",
        summary="drop or report documents that mean what another one means (embeddings, k-means)",
        settings="nemo_curator.dedup.standalone:DedupSemantic",
        run=RUN,
        examples=("nemo-curator dedup semantic input=documents output=diverse model=models/minilm eps=0.05",),
        stage=STAGE,
    ),
    Command(
        name="dedup-recall",
        summary="recall and precision of fuzzy deduplication on a sample, beside brute force",
        settings="nemo_curator.dedup.standalone:DedupRecall",
        run="nemo_curator.dedup.measure:run",
        examples=("nemo-curator dedup recall input=documents recall=0.95 jaccard=0.8",),
    ),
)


def joined(words: list[str]) -> list[str]:
    """``dedup exact ...`` as ``dedup-exact ...``."""
    if words[:1] == ["dedup"] and len(words) > 1 and "=" not in words[1] and not words[1].startswith("-"):
        return [f"dedup-{words[1]}", *words[2:]]
    return words


def overview() -> str:
    """The text of ``nemo-curator dedup --help``."""
    kinds = [(command.name.removeprefix("dedup-"), command) for command in COMMANDS]
    return "\n".join(
        [
            "usage: nemo-curator dedup <kind> [recipe.yaml] [key=value ...]",
            "",
            "kinds:",
            *(f"  {kind:<9}  {command.summary}" for kind, command in kinds),
            "",
            "examples:",
            *(f"  {command.examples[0]}" for _, command in kinds),
            "",
            "'nemo-curator dedup <kind> --help' shows its settings.",
        ]
    )
