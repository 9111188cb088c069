"""A part of an input through the whole of a run, in a worker process like those that the run will have.

Nothing is modelled: the sample passes the code of the run, from reading to the hashes of the finished artifact, in a
folder on the disk of the output that is gone in the end. Two sizes of it tell what every shard costs from what every
byte costs.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from ..curation import SHARD_TARGET, each_segment, stats_of
from ..dedup.keys import open_file
from ..dedup.semantic_settings import SemanticDedup
from ..foundation.artifact import list_files
from ..foundation.command import resolve
from ..pipeline import Pipeline
from ..read.files import Listing
from ..report.page import render
from ..shards import plan as plans
from ..shards.layout import Layout
from ..shards.pool import Call
from ..shards.tally import resident_bytes
from ..shards.work import BATCH_DOCUMENTS, curate_shard
from .sample import Sample

FEW_DOCUMENTS = 8
REPEATED_PART = 4
"""How many times smaller the sample is that is there twice, or the time is in which a sample is tried again."""
STATUS = Path("/proc/self/status")


@dataclass(frozen=True, kw_only=True)
class Performance:
    """What a part of the input took.

    `read_bytes` are those in memory, `stored_bytes` those of the files they came from. `shard_seconds` are spread over
    workers in a run, `together_seconds` (comparing all documents) and `closing_seconds` (figures, report, hashes) are
    not. `sorted_keys` is how many numbers a comparison sorts at once.
    """

    read_bytes: int
    stored_bytes: int
    whole: bool
    documents: int
    funnel: list[dict[str, Any]]
    costs: dict[str, float]
    shard_seconds: float
    together_seconds: float
    closing_seconds: float
    work_bytes: int
    output_bytes: int
    sorted_keys: int


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What a worker process took: seconds until it was warm, a few documents, many; the most memory it held then.

    `repeated` is an input all of whose text is there twice, where a step works the harder the more is.
    """

    cold_seconds: float
    few: Performance
    many: Performance
    peak_bytes: int
    repeated: Performance | None = None


class Timed:
    """Calls made here, one after the other, timed; the disk that they fill is weighed behind each."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self.shard_seconds, self.work_bytes, self.sorted_keys = 0.0, 0, 0

    def run(self, target: str, calls: Sequence[Call]) -> Iterator[Any]:
        """Results of all calls; the first segment reads the sample."""
        for arguments in calls:
            started = perf_counter()
            first = target == SHARD_TARGET and arguments["segment"] == 0
            result = curate_shard(**arguments, read=self._sample) if first else resolve(target)(**arguments)
            self.shard_seconds += perf_counter() - started
            self.weigh(Layout(Path(arguments["root"])).work)
            yield result

    def weigh(self, work: Path) -> None:
        """Note the size of the work folder and the number of its keys where they are the most so far."""
        self.work_bytes = max(self.work_bytes, folder_bytes(work))
        keys = (open_file(path).shape[-1] for path in work.rglob("*.keys"))
        self.sorted_keys = max(self.sorted_keys, *keys, 0)


def ready() -> int:
    """The memory of a process that has the code of a run; called for the time that it takes to get there."""
    return resident_bytes()


def rehearse(*, root: str, max_bytes: int, max_seconds: float) -> dict[str, Any]:
    """The rehearsal of the plan in a folder, in this process."""
    plan = plans.load(Path(root))
    few = partial(Sample, max_bytes=1, max_seconds=max_seconds, batch=FEW_DOCUMENTS, only_one=True)
    started = perf_counter()
    perform(Path(root) / "cold", plan, few())
    cold = perf_counter() - started
    little = perform(Path(root) / "few", plan, few())
    lasted = little.shard_seconds + little.together_seconds
    in_time = int(max_seconds * little.documents / lasted / len(plan.shards[0]) / 2)
    batch = min(BATCH_DOCUMENTS, max(1, in_time))
    wanted = partial(Sample, max_bytes=max_bytes, max_seconds=max_seconds, batch=batch)
    many = perform(Path(root) / "many", plan, wanted())
    if many.shard_seconds + many.together_seconds < max_seconds / REPEATED_PART:  # the first time, memory grows
        many = perform(Path(root) / "again", plan, wanted())
    peak_bytes = most_resident_bytes()
    repeated = None
    if any(getattr(step.settings, "prefilter", False) for step in plan.pipeline.steps):
        repeated = perform(Path(root) / "repeated", plan, wanted(max_bytes=max_bytes // REPEATED_PART, twice=True))
    cold = max(0.0, cold - lasted)
    return asdict(Rehearsal(cold_seconds=cold, few=little, many=many, peak_bytes=peak_bytes, repeated=repeated))


def perform(root: Path, plan: plans.Plan, sample: Sample) -> Performance:
    """Pass the sample through the pipeline; what it took."""
    layout = Layout(root)
    plan = replace(plan, pipeline=for_few(plan.pipeline))
    plans.save(plan, layout.work)
    timed = Timed(sample)
    started = perf_counter()
    each_segment(layout, plan, timed, memory_bytes=0, advance=lambda count=1, *, note=None: None)
    passed = perf_counter()
    timed.weigh(layout.work)
    stats = stats_of(layout, plan, Listing(files=plan.shards[0], ignored=[]))
    shutil.rmtree(layout.work)
    (root / "report.html").write_text(render(stats, {"pipeline": plan.pipeline.plain()}), encoding="utf-8")
    output_bytes = sum(file.bytes for file in list_files(root))
    return Performance(
        read_bytes=sample.read_bytes,
        stored_bytes=sample.stored_bytes,
        whole=sample.whole,
        documents=stats["documents_in"],
        funnel=stats["funnel"],
        costs={name: each["seconds"] for name, each in stats["costs"].items()},
        shard_seconds=timed.shard_seconds,
        together_seconds=passed - started - timed.shard_seconds,
        closing_seconds=perf_counter() - passed,
        work_bytes=timed.work_bytes,
        output_bytes=output_bytes,
        sorted_keys=timed.sorted_keys,
    )


def for_few(pipeline: Pipeline) -> Pipeline:
    """The pipeline with no more clusters than a few documents can be put in."""
    steps = []
    for step in pipeline.steps:
        if isinstance(step.settings, SemanticDedup):
            step = replace(step, settings=replace(step.settings, clusters=1))
        steps.append(step)
    return Pipeline(tuple(steps))


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def most_resident_bytes() -> int:
    """The most memory that this process has held."""
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return resident_bytes()
    found = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return int(found) * 1024 if found else resident_bytes()
