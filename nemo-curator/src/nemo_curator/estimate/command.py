"""``nemo-curator plan``: what a run will take, from a measured sample, before anything is written."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..curation import check_formats, make_plan
from ..dedup.lsh import candidate_probability
from ..dedup.settings import FuzzyDedup
from ..foundation.settings import to_plain
from ..pipeline import DEFAULT, Pipeline
from ..read.files import list_input
from ..recipe import Plan
from ..report.charts import duration, number, size
from ..shards.plan import Plan as Shards
from . import advice, figures
from .stage import hold

SIMILARITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
MEMINFO = Path("/proc/meminfo")
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
    """Bytes, documents, time, memory and disk of the run that `settings` describe; nothing stays written."""
    pipeline = Pipeline.parse(settings.pipeline)
    listing = list_input(settings.input)
    check_formats(pipeline, listing)
    whole = make_plan(settings, pipeline, listing)
    machine = this_machine(settings)
    total = sum(file.num_bytes for file in listing.files)
    found = tried(settings, whole, total, machine) if settings.sample else None
    return {
        "input": str(settings.input),
        "output": str(settings.output),
        "files": len(listing.files),
        "ignored_files": len(listing.ignored),
        "bytes": total,
        "shards": len(whole.shards),
        "workers": machine.workers,
        **(to_plain(found) if found else {}),
        "free_disk_bytes": machine.free_disk_bytes,
        "free_memory_bytes": machine.free_memory_bytes,
        "lsh": lsh(pipeline),
        "warnings": advice.warnings(found, pipeline, listing.files, output=settings.output, machine=machine),
    }


def tried(settings: Plan, whole: Shards, total: int, machine: figures.Machine) -> figures.Estimate:
    """What the run will take, by what a part of it took."""
    held = hold(
        whole,
        home=home_of(settings.output),
        workers=min(machine.workers, len(whole.shards)),
        max_bytes=settings.sample_bytes,
        max_seconds=settings.sample_seconds,
    )
    weights = [sum(file.weight for file in shard) for shard in whole.shards]
    return figures.estimate(held, total_bytes=total, shards=weights, machine=machine)


def home_of(output: Path) -> Path:
    """The folder that is there and that `output` would be made in."""
    return next(folder for folder in output.absolute().parents if folder.exists())


def this_machine(settings: Plan) -> figures.Machine:
    """What there is to work with."""
    placement = settings.placement()
    return figures.Machine(
        workers=placement.workers,
        free_disk_bytes=shutil.disk_usage(home_of(settings.output)).free,
        free_memory_bytes=free_memory_bytes(),
        sorting_bytes=placement.memory_bytes,
    )


def free_memory_bytes() -> int:
    """Memory that processes could take; without bound where the system does not tell."""
    if not MEMINFO.is_file():
        return sys.maxsize
    lines = dict(line.split(":", 1) for line in MEMINFO.read_text(encoding="utf-8").splitlines() if ":" in line)
    return int(lines["MemAvailable"].split()[0]) * 1024


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
        f"{told['input']}: {number(told['files'])} files, {size(told['bytes'])}, in {number(told['shards'])} shards"
    ]
    lines += estimate_lines(told) if "seconds" in told else ["nothing was measured (sample=false)"]
    for each in told["lsh"]:
        lines += ["", *curve_lines(each)]
    lines += ["", *(f"warning: {text}" for text in told["warnings"])] if told["warnings"] else []
    return "\n".join(lines)


def estimate_lines(told: Mapping[str, Any]) -> list[str]:
    """What the run will take, by step and in all."""
    whole = told["sampled_share"] >= 1
    rows = [
        f"  {step['step']:<18}{number(step['documents']):>14}{size(step['text_bytes']):>12}"
        f"{number(step['dropped']):>14}{duration(step['worker_seconds']):>14}"
        for step in told["steps"]
    ]
    return [
        f"about {number(told['documents'])} documents "
        + ("(all were tried)" if whole else f"(from {100 * told['sampled_share']:.3g} % of the input, tried here)"),
        "",
        f"  {'step':<18}{'documents':>14}{'text':>12}{'dropped':>14}{'worker time':>14}",
        *rows,
        f"  {'writing':<18}{duration(told['writing_worker_seconds']):>54}",
        "",
        f"time      {duration(told['least_seconds'])} to {duration(told['most_seconds'])} "
        f"with {told['workers']} workers: start {duration(told['start_seconds'])}, "
        f"comparing {duration(told['together_seconds'])}, closing {duration(told['closing_seconds'])}, "
        "the rest spread over the workers",
        f"memory    about {size(told['memory_bytes'])} ({size(told['free_memory_bytes'])} free)",
        f"disk      {size(told['work_bytes'])} while it works and {size(told['output_bytes'])} of output "
        f"({size(told['free_disk_bytes'])} free)",
        *([] if whole else ["A part of an input holds fewer duplicates than the whole, so sizes are upper bounds."]),
    ]


def curve_lines(lsh_of_step: Told) -> list[str]:
    """The curve of a fuzzy deduplication, drawn."""
    head = f"{lsh_of_step['step']}: {lsh_of_step['bands']} bands of {lsh_of_step['rows']} find pairs of similarity"
    return [head, *(f"  {s:<5}{'█' * round(30 * p):<31}{p:.1%}" for s, p in lsh_of_step["found"].items())]
