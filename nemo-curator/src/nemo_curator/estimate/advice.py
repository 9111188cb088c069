"""What is unwise about a run before it starts: too little disk or memory, steps in a wasteful order, idle workers."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..pipeline import Pipeline
from ..read.files import InputFile
from ..report.charts import number, size
from .figures import Estimate, Machine

MENDING = ("repair", "normalize_newlines", "normalize_whitespace", "remove_boilerplate", "c4_lines")
BETTER_FIRST = {
    ("fuzzy_dedup", "exact_dedup"): "equal texts are found much more cheaply than similar ones",
    ("semantic_dedup", "fuzzy_dedup"): "embeddings cost the most, so fewer documents should reach them",
    ("semantic_dedup", "exact_dedup"): "embeddings cost the most, so fewer documents should reach them",
    ("fuzzy_dedup", "quality"): "documents that quality drops need no signatures",
    ("semantic_dedup", "quality"): "documents that quality drops need no embeddings",
    ("classify", "quality"): "documents that quality drops need not be classified",
    ("classify", "language"): "documents of other languages need not be classified",
    ("classify", "exact_dedup"): "duplicates need not be classified",
    ("classify", "fuzzy_dedup"): "duplicates need not be classified",
    ("quality", "language"): "documents of other languages need not be scored, and stop words are of one language",
    ("quality", "urls"): "an address is cheaper to judge than a text",
    **{("quality", name): "scores should be of the text that stays" for name in MENDING},
    **{("fuzzy_dedup", name): "texts should be compared as they will be" for name in MENDING},
    **{("exact_dedup", name): "texts that differ by what it mends would stay twice" for name in MENDING},
}


def warnings(
    found: Estimate | None, pipeline: Pipeline, files: Sequence[InputFile], *, output: Path, machine: Machine
) -> list[str]:
    """Every warning, in words."""
    return [
        *(room(found, machine) if found else ()),
        *wasteful_order(pipeline),
        *idle_workers(files, machine.workers),
        *already_there(output),
        *(nothing_left(found) if found else ()),
    ]


def room(found: Estimate, machine: Machine) -> Iterator[str]:
    """Disk and memory that are too small."""
    needed = found.work_bytes + found.output_bytes
    if needed > machine.free_disk_bytes:
        yield f"the disk of the output has {size(machine.free_disk_bytes)} free; the run needs about {size(needed)}"
    if found.memory_bytes > machine.free_memory_bytes:
        free = size(machine.free_memory_bytes)
        yield f"{free} of memory are free; the run needs about {size(found.memory_bytes)}: use fewer workers"


def wasteful_order(pipeline: Pipeline) -> Iterator[str]:
    """Pairs of steps that would better be the other way round."""
    names = [step.name for step in pipeline.steps]
    for i, first in enumerate(names):
        for later in dict.fromkeys(names[i + 1 :]):
            if (first, later) in BETTER_FIRST:
                yield f"put {later} before {first}: {BETTER_FIRST[first, later]}"


def idle_workers(files: Sequence[InputFile], workers: int) -> Iterator[str]:
    """A file that one worker reads while the others wait."""
    whole = sum(file.weight for file in files)
    largest = max(files, key=lambda file: file.weight)
    if workers > 1 and largest.weight > whole / workers + whole / 20:
        part = f"{100 * largest.weight / whole:.0f} %"
        yield f"{largest.name} holds {part} of the input and is read by one worker; cut it into smaller files"


def already_there(output: Path) -> Iterator[str]:
    """An output that is in the way, or waits to be continued."""
    if output.exists():
        yield f"{output} exists already; name another output, or say overwrite=true"
    elif output.with_name(f"{output.name}.partial").exists():
        yield f"{output}.partial is of an unfinished run; with the same settings and input it is continued"


def nothing_left(found: Estimate) -> Iterator[str]:
    """A step that lets nothing of the sample pass."""
    if found.documents and not found.steps[-1].documents:
        step = next(step for step in found.steps if not step.documents)
        gone = number(step.dropped)
        yield f"no document of the sample passes {step.step}, which dropped {gone}; look at its settings"
