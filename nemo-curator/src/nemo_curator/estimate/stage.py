"""Where a rehearsal is held: worker processes side by side, and a folder beside the output for as long as it takes."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from ..shards import plan as plans
from ..shards.pool import WORKER_VARIABLE, Call, Worker
from .rehearsal import Rehearsal
from .sample import spaced

MOST_WORKERS = 4
READY, REHEARSE = f"{__package__}.rehearsal:ready", f"{__package__}.rehearsal:rehearse"


@dataclass(frozen=True, kw_only=True)
class Held:
    """The rehearsals of all workers; seconds until a process had loaded the code, and the memory that it held then."""

    load_seconds: float
    loaded_bytes: int
    rehearsals: list[Rehearsal]
    covers_all_files: bool


def hold(plan: plans.Plan, *, home: Path, workers: int, max_bytes: int, max_seconds: float) -> Held:
    """Rehearse `plan` on as many processes as will work side by side, each with the same part of the input."""
    files = [file for shard in plan.shards for file in shard]
    chosen = spaced(files)
    count = max(1, min(workers, MOST_WORKERS))
    with scratch(home) as folder, players(count) as call_all:
        roots = [Path(folder) / str(number) for number in range(count)]
        for root in roots:
            plans.save(replace(plan, shards=[chosen]), root)
        started = perf_counter()
        loaded = call_all(READY, [{}] * count)
        load_seconds = perf_counter() - started
        limits = {"max_bytes": max_bytes, "max_seconds": max_seconds}
        found = call_all(REHEARSE, [{"root": str(root), **limits} for root in roots])
    return Held(
        load_seconds=load_seconds,
        loaded_bytes=max(loaded),
        rehearsals=[msgspec.convert(each, Rehearsal) for each in found],
        covers_all_files=len(chosen) == len(files),
    )


def scratch(home: Path) -> "tempfile.TemporaryDirectory[str]":
    """A folder in `home`, on whose disk a run would write; where that takes none, among the temporary ones."""
    try:
        return tempfile.TemporaryDirectory(prefix=".nemo-curator-plan-", dir=home)
    except OSError:
        return tempfile.TemporaryDirectory(prefix=".nemo-curator-plan-")


@contextmanager
def players(count: int) -> Iterator[Callable[[str, Sequence[Call]], list[Any]]]:
    """The function that has each of `count` worker processes make its call, all at once."""
    workers: list[Worker] = []

    def call_all(target: str, calls: Sequence[Call]) -> list[Any]:
        while len(workers) < count:
            workers.append(Worker({WORKER_VARIABLE: str(len(workers))}))
        return list(threads.map(lambda worker, call: worker.call(target, call), workers, calls))

    with ThreadPoolExecutor(count) as threads:
        try:
            yield call_all
        finally:
            for worker in workers:
                worker.close()
