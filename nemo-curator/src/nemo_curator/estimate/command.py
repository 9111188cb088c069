"""``nemo-curator plan``: what a run will take, from a measured sample, before anything is written."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ..curation import check_formats, make_plan
from ..dedup.lsh import candidate_probability
from ..dedup.settings import FuzzyDedup
from ..foundation.settings import to_plain
from ..pipeline import DEFAULT, Pipeline
from ..read.files import list_input
from ..recipe import Plan
from ..report.charts import duration, number, size
from . import advice, figures
from .sample import draw

SIMILARITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
MEMINFO = Path("/proc/meminfo")
SORTED_KEYS = 200_000
Told = dict[str, Any]


def run(settings: Plan) -> Told | None:
    """The plan; on a terminal it is told in sentences instead."""
    told = foretell(settings)
    if not sys.stdout.isatty():
        return told
    print(as_text(told))
    return None


def plan(input: str | Path, output: str | Path, *, pipeline: Sequence[Any] | str = DEFAULT, **settings: Any) -> Told:
    """What ``curate(input, output, pipeline=pipeline)`` would take; `settings` are those of ``nemo-curator plan``."""
    steps = pipeline if isinstance(pipeline, str) else list(pipeline)
    return foretell(Plan(input=Path(input), output=Path(output), pipeline=steps, **settings))


def foretell(settings: Plan) -> Told:
    """Bytes, documents, time, memory and disk of the run that `settings` describe; nothing is written."""
    pipeline = Pipeline.parse(settings.pipeline)
    listing = list_input(settings.input)
    check_formats(pipeline, listing)
    whole = make_plan(settings, pipeline, listing)
    sample = draw(
        listing.files, pipeline, whole.reading, max_bytes=settings.sample_bytes, max_seconds=settings.sample_seconds
    )
    machine = this_machine(settings)
    total = sum(file.num_bytes for file in listing.files)
    found = figures.estimate(sample, pipeline, total_bytes=total, shards=len(whole.shards), machine=machine)
    return {
        "input": str(settings.input),
        "output": str(settings.output),
        "files": len(listing.files),
        "ignored_files": len(listing.ignored),
        "bytes": total,
        "shards": len(whole.shards),
        "workers": machine.workers,
        **to_plain(found),
        "free_disk_bytes": machine.free_disk_bytes,
        "free_memory_bytes": machine.free_memory_bytes,
        "lsh": lsh(pipeline),
        "warnings": advice.warnings(found, pipeline, listing.files, output=settings.output, machine=machine),
    }


def this_machine(settings: Plan) -> figures.Machine:
    """What there is to work with."""
    home = next(folder for folder in settings.output.absolute().parents if folder.exists())
    return figures.Machine(
        workers=settings.placement().workers,
        free_disk_bytes=shutil.disk_usage(home).free,
        free_memory_bytes=free_memory_bytes(),
        sort_s=sort_s(),
    )


def free_memory_bytes() -> int:
    """Memory that processes could take; without bound where the system does not tell."""
    if not MEMINFO.is_file():
        return sys.maxsize
    lines = dict(line.split(":", 1) for line in MEMINFO.read_text(encoding="utf-8").splitlines() if ":" in line)
    return int(lines["MemAvailable"].split()[0]) * 1024


def sort_s() -> float:
    """Seconds it takes to sort one key among many, measured."""
    keys = np.random.default_rng(0).integers(0, 1 << 62, SORTED_KEYS)
    started = perf_counter()
    np.argsort(keys, kind="stable")
    return (perf_counter() - started) / SORTED_KEYS


def lsh(pipeline: Pipeline) -> list[Told]:
    """What each fuzzy deduplication finds, by similarity."""
    found = []
    for step in pipeline.steps:
        if isinstance(step.settings, FuzzyDedup):
            bands, rows = step.settings.banding
            curve = {str(s): round(candidate_probability(s, bands=bands, rows=rows), 4) for s in SIMILARITIES}
            found.append({"step": step.name, "bands": bands, "rows": rows, "found": curve})
    return found


def as_text(told: Mapping[str, Any]) -> str:
    """The plan as a person reads it."""
    lines = [
        f"{told['input']}: {number(told['files'])} files, {size(told['bytes'])}, in {number(told['shards'])} shards",
        f"about {number(told['documents'])} documents (from a sample of {100 * told['sampled_share']:.3g} %)",
        "",
        f"  {'step':<18}{'documents':>14}{'text':>12}{'dropped':>14}{'worker time':>14}",
    ]
    lines += [
        f"  {step['step']:<18}{number(step['documents']):>14}{size(step['text_bytes']):>12}"
        f"{number(step['dropped']):>14}{duration(step['worker_seconds']):>14}"
        for step in told["steps"]
    ]
    lines += [
        "",
        f"time      about {duration(told['seconds'])} with {told['workers']} workers",
        f"memory    about {size(told['memory_bytes'])} ({size(told['free_memory_bytes'])} free)",
        f"disk      {size(told['work_bytes'])} while it works and {size(told['output_bytes'])} of output "
        f"({size(told['free_disk_bytes'])} free)",
        "Deduplication is taken to drop nothing, so sizes are upper bounds.",
    ]
    for each in told["lsh"]:
        lines += ["", *curve_lines(each)]
    lines += ["", *(f"warning: {text}" for text in told["warnings"])] if told["warnings"] else []
    return "\n".join(lines)


def curve_lines(lsh_of_step: Told) -> list[str]:
    """The curve of a fuzzy deduplication, drawn."""
    head = f"{lsh_of_step['step']}: {lsh_of_step['bands']} bands of {lsh_of_step['rows']} find pairs of similarity"
    return [head, *(f"  {s:<5}{'█' * round(30 * p):<31}{p:.1%}" for s, p in lsh_of_step["found"].items())]
