"""Documents through steps into a documents artifact, a shard at a time, keeping every column."""

import base64
import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ..columns import filled, schema_behind
from ..curation import Curated
from ..document import Verdict
from ..foundation.atomic import write_text
from ..foundation.progress import Progress
from ..foundation.settings import to_plain
from ..pipeline import Pipeline
from ..read.files import InputFile, list_input
from ..read.records import Reading
from ..request import begun, say_when_nothing_stays
from ..shards import plan as plans
from ..shards import pool
from ..shards import tally as tallies
from ..shards.work import Table
from .report import figures, write_report
from .settings import Passage
from .source import open_source, read_batches

TARGET = "nemo_curator.tables.passage:pass_shard"
REASONS = (pa.field("reason", pa.string()), pa.field("detail", pa.string()))


def command_step(settings: Passage, name: str) -> dict[str, Any]:
    """The step of a command whose settings are those of a step and of a passage together."""
    passage = {field.name for field in dataclasses.fields(Passage)}
    return {name: {key: value for key, value in to_plain(settings).items() if key not in passage}}


def run(settings: Passage, steps: Sequence[Any], *, files: Mapping[str, str] | None = None) -> Curated:
    """Pass every document of the input through the steps, and write `files` (text by name) into the artifact.

    Raises ConfigError or InputError where that cannot be.
    """
    pipeline = Pipeline.parse(list(steps))
    source = open_source(settings.input, text_field=settings.text_field, id_field=settings.id_field)
    config = {**to_plain(settings), "pipeline": pipeline.plain()}
    config.pop("workers")
    for step in pipeline.steps:
        getattr(step.settings, "check", step.settings.open)()
    read = {file.name: file.num_bytes for file in list_input(settings.input).files}
    with begun(settings, kind="documents", config=config, inputs={"input": settings.input}, files=read) as draft:
        work = draft.path / "work"
        shards = plans.group(source.files, shard_bytes=settings.shard_bytes)
        save_plan(work, pipeline, shards, source.schema, source.reading)
        spread(draft.path, len(shards), workers=pool.num_workers(settings.workers), label=pipeline.steps[0].name)
        total = tallies.add(tallies.load(work / f"{shard:05d}.json") for shard in range(len(shards)))
        draft.stats.update(figures(total))
        write_report(draft, config)
        for name, content in (files or {}).items():
            write_text(draft.path / name, content)
        shutil.rmtree(work)
    say_when_nothing_stays(draft.stats)
    return Curated(
        output=settings.output,
        documents_in=draft.stats["documents_in"],
        documents_out=draft.stats["documents_out"],
        dropped={reason: n for step in total.steps for reason, n in step.dropped.items()},
        report=settings.output / "report.html",
    )


def spread(root: Path, shards: int, *, workers: int, label: str) -> None:
    """Do every shard that is not done yet."""
    todo = [shard for shard in range(shards) if not (root / "work" / f"{shard:05d}.json").is_file()]
    with pool.Pool(workers) as workers_pool, Progress(label, total=shards, unit="shards") as progress:
        progress.advance(shards - len(todo))
        for kept in workers_pool.run(TARGET, [{"root": str(root), "shard": shard} for shard in todo]):
            progress.advance(note=f"{kept} documents of a shard stay")


def save_plan(
    work: Path, pipeline: Pipeline, shards: list[list[InputFile]], schema: pa.Schema, reading: Reading
) -> None:
    """Write down what every worker has to know."""
    plain = {
        "pipeline": pipeline.plain(),
        "schema": base64.b64encode(schema.serialize()).decode(),
        "reading": msgspec.to_builtins(reading),
        "shards": msgspec.to_builtins(shards, enc_hook=str),
    }
    write_text(work / "passage.json", json.dumps(plain, default=str))


@cache
def load_plan(work: Path) -> tuple[Pipeline, pa.Schema, Reading, list[list[InputFile]]]:
    """What `save_plan` wrote."""
    plain = json.loads((work / "passage.json").read_text(encoding="utf-8"))
    schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(plain["schema"])))
    files = [[InputFile(**{**file, "path": Path(file["path"])}) for file in shard] for shard in plain["shards"]]
    return Pipeline.parse(plain["pipeline"]), schema, msgspec.convert(plain["reading"], Reading), files


@cache
def opened(work: Path) -> list[tuple[str, Any]]:
    """The step functions of a run."""
    return [(step.name, step.settings.open()) for step in load_plan(work)[0].steps]


def pass_shard(*, root: str, shard: int) -> int:
    """Pass one shard through the steps and write it; the number of documents kept."""
    folder = Path(root)
    work = folder / "work"
    pipeline, schema, reading, shards = load_plan(work)
    tally = tallies.Tally()
    out = schema_behind(pipeline.steps, schema)
    with ExitStack() as stack:
        kept = Table(stack, folder / "data" / f"part-{shard:05d}.parquet", out)
        rejects = Table(stack, folder / "rejects" / f"part-{shard:05d}-0.parquet", pa.schema([*out, *REASONS]))
        for file in shards[shard]:
            tally.bytes_in += file.num_bytes
            for documents, unread in read_batches(file, schema, reading):
                tally.documents_in += documents.num_rows + unread.num_rows
                first = tally.step(0, "read")
                tally.kept(first, documents)
                drop(unread, tally, first, rejects, pa.schema([*out, *REASONS]))
                documents = pass_steps(documents, opened(work), tally, rejects, pa.schema([*out, *REASONS]))
                kept.write(filled(documents, out))
                tally.finished(documents)
        kept.open()
    tally.save(work / f"{shard:05d}.json")
    return tally.steps[-1].documents if tally.steps else 0


def pass_steps(
    documents: pa.Table, steps: Sequence[tuple[str, Any]], tally: tallies.Tally, rejects: Table, schema: pa.Schema
) -> pa.Table:
    """The documents that every step keeps; the others go to the rejects."""
    for index, (name, step) in enumerate(steps, 1):
        into = tally.step(index, name)
        with tallies.timed(into):
            verdict = step(documents) if documents.num_rows else Verdict(documents=documents, reason=pa.nulls(0))
        tally.judged(verdict)
        documents, dropped = part(verdict)
        tally.kept(into, documents)
        drop(dropped, tally, into, rejects, schema)
    return documents


def drop(dropped: pa.Table, tally: tallies.Tally, step: tallies.StepTally, rejects: Table, schema: pa.Schema) -> None:
    """Count rejects and write them."""
    tally.dropped(step, dropped)
    rejects.write(filled(dropped, schema))


def part(verdict: Verdict) -> tuple[pa.Table, pa.Table]:
    """The documents that stay, and those that go with reason and detail; both with every column."""
    reason = verdict.reason.cast(pa.string())
    gone = pc.is_valid(reason)
    detail = verdict.detail if verdict.detail is not None else pa.nulls(len(reason), pa.string())
    dropped = verdict.documents.filter(gone).append_column("reason", reason.filter(gone))
    dropped = dropped.append_column("detail", pc.fill_null(detail.cast(pa.string()).filter(gone), ""))
    return verdict.documents.filter(pc.invert(gone)), dropped
