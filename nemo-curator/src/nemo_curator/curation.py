"""Raw pages or texts to a documents artifact: shards through segments, comparison between them, counts and a report."""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from .dedup.settings import FuzzyDedup
from .foundation import artifact
from .foundation.errors import ConfigError
from .foundation.progress import Progress
from .foundation.settings import to_plain
from .pipeline import DEFAULT, Pipeline, Segment
from .placement import Placement
from .read.files import Listing, list_input
from .read.records import Reading
from .recipe import Run
from .report import duplicates
from .report.page import render
from .report.reasons import foreign_stop_words
from .request import begun, say_when_nothing_stays
from .shards import plan as plans
from .shards import tally as tallies
from .shards.compare import Comparison, compare
from .shards.layout import Layout
from .shards.pool import Spread

PLACEMENT = ("workers", "engine", "dask", "memory_limit")
"""Settings that say where and how a run is done, and change nothing in what it makes."""
IGNORED_KEPT = 100
SHARD_TARGET = "nemo_curator.shards.work:curate_shard"


class Advance(Protocol):
    """Is told of work that is done."""

    def __call__(self, count: int = 1, *, note: str | None = None) -> None:
        """Take note of `count` units."""


@dataclass(frozen=True, kw_only=True)
class Curated:
    """What a run made."""

    output: Path
    documents_in: int
    documents_out: int
    dropped: dict[str, int]
    report: Path


def curate(
    input: str | Path,
    output: str | Path,
    *,
    pipeline: Sequence[Any] | str = DEFAULT,
    overwrite: bool = False,
    **reading: Any,
) -> Curated:
    """Curate the documents of `input` into the artifact `output`.

    `pipeline` is a list of step names, or of one-key mappings from a name to its settings, or the name of a ready
    pipeline (``nemo-curator pipelines`` lists them); `reading` takes the other
    settings of ``nemo-curator run``. Raises ConfigError, InputError or ArtifactError where the caller is wrong.
    """
    steps = pipeline if isinstance(pipeline, str) else list(pipeline)
    return run(Run(input=Path(input), output=Path(output), pipeline=steps, overwrite=overwrite, **reading))


def run(settings: Run) -> Curated:
    """Run the pipeline of `settings`."""
    pipeline = Pipeline.parse(settings.pipeline)
    listing = list_input(settings.input)
    check_formats(pipeline, listing)
    listing.report_ignored(settings.input)
    config = {**to_plain(settings), "pipeline": pipeline.plain()}
    for placed in PLACEMENT:
        config.pop(placed)
    if listing.files[0].url:  # an input behind an address has no other identity
        config["remote_files"] = artifact.digest_of([(file.name, file.num_bytes) for file in listing.files])
    inputs = {"input": settings.input, **inputs_of(pipeline)}
    files = {file.name: file.num_bytes for file in listing.files}
    with begun(settings, kind="documents", config=config, inputs=inputs, files=files) as draft:
        layout = Layout(draft.path)
        plan = make_plan(settings, pipeline, listing)
        plans.save(plan, layout.work)
        announce(pipeline)
        started = perf_counter()
        work_through(layout, plan, settings.placement())
        draft.stats.update(stats_of(layout, plan, listing))
        report_foreign(draft.stats, config)
        draft.stats.update(wall_seconds=round(perf_counter() - started, 3), resumed=draft.resumed)
        (layout.root / "report.html").write_text(render(draft.stats, config), encoding="utf-8")
        shutil.rmtree(layout.work)
    say_when_nothing_stays(draft.stats)
    return Curated(
        output=settings.output,
        documents_in=draft.stats["documents_in"],
        documents_out=draft.stats["documents_out"],
        dropped=dropped_of(draft.stats),
        report=settings.output / "report.html",
    )


def make_plan(settings: Run, pipeline: Pipeline, listing: Listing) -> plans.Plan:
    """What is to be done."""
    reading = Reading(
        text_field=settings.text_field,
        id_field=settings.id_field,
        max_document_bytes=settings.max_document_bytes,
        keep_fields=settings.keep_fields,
    )
    return plans.Plan(
        pipeline=pipeline, reading=reading, shards=plans.group(listing.files, shard_bytes=settings.shard_bytes)
    )


def inputs_of(pipeline: Pipeline) -> dict[str, Path]:
    """What steps read beside the documents: models, filters of earlier runs."""
    found: dict[str, Path] = {}
    for step in pipeline.steps:
        found.update({f"{step.name}.{name}": path for name, path in getattr(step.settings, "inputs", dict)().items()})
    return found


def announce(pipeline: Pipeline) -> None:
    """Say on stderr what fuzzy deduplication will find."""
    for step in pipeline.steps:
        if isinstance(step.settings, FuzzyDedup):
            print(f"{step.name}: {step.settings.promise()}", file=sys.stderr)


def report_foreign(stats: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Say on stderr where English stop words cost documents of other languages."""
    hint = foreign_stop_words(stats, config)
    if hint:
        print(f"quality: {hint}", file=sys.stderr)


def check_formats(pipeline: Pipeline, listing: Listing) -> None:
    """Raise ConfigError where there is HTML and no step that extracts text from it."""
    page = next((file for file in listing.files if file.holds_html), None)
    if page and not pipeline.extracts:
        raise ConfigError(f"pipeline: {page.path} holds HTML; put extract first")


def work_through(layout: Layout, plan: plans.Plan, placement: Placement) -> None:
    """Every segment over every shard, on the workers of a placement, with progress on stderr."""
    units = len(plan.pipeline.segments()) * len(plan.shards)
    with placement.open() as spread, Progress("curate", total=units, unit="shards") as progress:
        each_segment(layout, plan, spread, memory_bytes=placement.memory_bytes, advance=progress.advance)


def each_segment(layout: Layout, plan: plans.Plan, spread: Spread, *, memory_bytes: int, advance: Advance) -> None:
    """Every segment over every shard, with a comparison of all documents between two segments."""
    shards = len(plan.shards)
    for index, segment in enumerate(plan.pipeline.segments()):
        todo = [shard for shard in range(shards) if not layout.tally(shard, index).is_file()]
        advance(shards - len(todo), note=title(segment.alone, index))
        calls = [{"root": str(layout.root), "segment": index, "shard": shard} for shard in todo]
        for kept in spread.run(SHARD_TARGET, calls):
            advance(note=f"{title(segment.alone, index)}: {kept} documents of a shard stay")
        if segment.together:
            comparison = Comparison(
                layout=layout, segment=index, shards=shards, spread=spread, memory_bytes=memory_bytes
            )
            compare(comparison, segment.together)
        if index:
            remove_documents(layout, index - 1, shards)


def title(steps: Sequence[Any], index: int) -> str:
    """What a segment does, in a word."""
    return ", ".join(step.name for step in steps) or ("read" if index == 0 else "drop duplicates")


def remove_documents(layout: Layout, segment: int, shards: int) -> None:
    """Free the room of texts that the next segment has written anew."""
    for shard in range(shards):
        layout.documents(shard, segment, last=False).unlink(missing_ok=True)
        for left in layout.keys(shard, segment).parent.glob(f"{shard:05d}*"):
            if left != layout.tally(shard, segment):
                left.unlink(missing_ok=True)


def stats_of(layout: Layout, plan: plans.Plan, listing: Listing) -> dict[str, Any]:
    """The figures of the run, added up from those of its shards."""
    segments = plan.pipeline.segments()
    totals = [
        tallies.add(tallies.load(layout.tally(shard, index)) for shard in range(len(plan.shards)))
        for index in range(len(segments))
    ]
    steps = [step for total in totals for step in total.steps]
    return {
        "documents_in": totals[0].documents_in,
        "documents_out": steps[-1].documents,
        "bytes_in": totals[0].bytes_in,
        "bytes_out": steps[-1].bytes,
        "funnel": tallies.funnel(steps),
        "examples": {reason: shown for total in totals for reason, shown in total.examples.items()},
        "languages": dict(sorted(totals[-1].languages.items(), key=lambda item: -item[1])),
        "histograms": {name: counts for total in totals for name, counts in total.histograms.items()},
        "changes": tallies.add_changes(totals),
        "languages_without_stop_words": tallies.add_languages(totals),
        "costs": costs_of(segments, totals),
        "duplicate_groups": duplicates.groups(layout.root),
        "comparisons": [
            {"step": segment.together.name, **json.loads(layout.compared(index).read_text(encoding="utf-8"))}
            for index, segment in enumerate(segments)
            if segment.together
        ],
        "ignored_files": listing.ignored[:IGNORED_KEPT],
        "num_ignored_files": len(listing.ignored),
    }


def costs_of(segments: Sequence[Segment], totals: Sequence[tallies.Tally]) -> dict[str, dict[str, float]]:
    """What each step cost; a deduplication, the making of its keys and the leaving out of what it found."""
    charged = []
    for segment, total in zip(segments, totals, strict=True):
        charged += total.steps
        if segment.together:
            charged.append(replace(total.comparison, step=segment.together.name))
    return tallies.costs(charged)


def dropped_of(stats: dict[str, Any]) -> dict[str, int]:
    """How many documents went for each reason, most first."""
    counts: dict[str, int] = {}
    for step in stats["funnel"]:
        for reason, number in step["dropped"].items():
            counts[reason] = counts.get(reason, 0) + number
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
