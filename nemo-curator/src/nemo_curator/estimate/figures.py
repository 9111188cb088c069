"""From a rehearsal and the size of an input to what the run will take: pure arithmetic."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log2
from statistics import mean

from .rehearsal import Performance, Rehearsal
from .stage import Held

SORT_BYTES = 48
"""What a comparison holds for a key while it sorts: the key, its number, and the room to put them in order."""
SEEN_AT_LEAST = 2.0
"""How many times the few documents the many have to be, for what a shard costs to be told from what a byte costs."""
REPEATED = "substring_dedup"
"""The step whose work grows with what is repeated."""
SURE, UNSURE = 1.4, 1.8
"""How far off the time may be, either way: where the input was read whole, and where a small part of it was."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What there is: processes to work with, free disk under the output, free memory, memory to sort in (0: all)."""

    workers: int
    free_disk_bytes: int
    free_memory_bytes: int
    sorting_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class StepEstimate:
    """What one step will leave and take; seconds are those of one worker."""

    step: str
    documents: int
    text_bytes: int
    dropped: int
    worker_seconds: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the run will take. A sample has fewer duplicates than its input, so that sizes are upper bounds.

    `seconds` is the sum of `start_seconds`, of the shards spread over the workers, of `together_seconds` and of
    `closing_seconds`; it will be between `least_seconds` and `most_seconds` on a machine as busy as it was.
    """

    documents: int
    steps: list[StepEstimate]
    seconds: float
    least_seconds: float
    most_seconds: float
    start_seconds: float
    writing_worker_seconds: float
    together_seconds: float
    closing_seconds: float
    memory_bytes: int
    work_bytes: int
    output_bytes: int
    sampled_share: float


def estimate(held: Held, *, total_bytes: int, shards: Sequence[int], machine: Machine) -> Estimate:
    """The rehearsal's figures scaled to the whole input; `shards` are the weights of its shards."""
    first = held.rehearsals[0].many
    whole = first.whole and held.covers_all_files
    scale = 1.0 if whole else total_bytes / max(1, first.stored_bytes)
    sized = Sized(rehearsals=held.rehearsals, scale=scale, shards=len(shards))
    once = replace(sized, shards=1)
    spread = sized.of(lambda each: each.shard_seconds)
    keys = sized.of(lambda each: each.sorted_keys)
    together = sized.of(lambda each: each.together_seconds) * sorting(first.sorted_keys, keys)
    closing = once.of(lambda each: each.closing_seconds)
    processes = min(machine.workers, len(shards))
    start = start_seconds(held, processes)
    seconds = start + makespan(spread, shards, machine.workers) + together + closing
    off = doubt(1 / scale)
    steps = steps_of(first, scale, [each.many for each in held.rehearsals])
    return Estimate(
        documents=round(first.documents * scale),
        steps=steps,
        seconds=round(seconds, 1),
        least_seconds=round(seconds / off, 1),
        most_seconds=round(seconds * off, 1),
        start_seconds=round(start, 2),
        writing_worker_seconds=round(max(0.0, spread - sum(step.worker_seconds for step in steps)), 3),
        together_seconds=round(together, 2),
        closing_seconds=round(closing, 2),
        memory_bytes=memory_bytes(held, keys, workers=processes, sorting_bytes=machine.sorting_bytes),
        work_bytes=round(sized.of(lambda each: each.work_bytes)),
        output_bytes=round(sized.of(lambda each: each.output_bytes)),
        sampled_share=round(1 / scale, 4),
    )


@dataclass(frozen=True, kw_only=True)
class Sized:
    """Figures of two sizes of a sample, drawn as a line to the size of the whole input."""

    rehearsals: Sequence[Rehearsal]
    scale: float
    shards: int

    def of(self, figure: Callable[[Performance], float]) -> float:
        """The figure of the whole input, as much of which is repeated as is to be expected."""
        found = self._line(figure)
        again = [each.repeated for each in self.rehearsals if each.repeated is not None]
        if not again:
            return found
        many = self.rehearsals[0].many.read_bytes
        most = mean(figure(each) for each in again) * many * self.scale / max(1, again[0].read_bytes)
        part = repetition(self.rehearsals[0], 1 / self.scale)
        return found + part * max(0.0, most - found)

    def _line(self, figure: Callable[[Performance], float]) -> float:
        """What a shard costs for each shard, and what a byte costs for each byte."""
        few, many = (self.rehearsals[0].few.read_bytes, self.rehearsals[0].many.read_bytes)
        little = mean(figure(each.few) for each in self.rehearsals)
        much = mean(figure(each.many) for each in self.rehearsals)
        if many < SEEN_AT_LEAST * few or much <= little:
            return much * self.scale
        slope = (much - little) / (many - few)
        fixed = max(0.0, little - slope * few)
        return self.shards * fixed + (much - fixed) * self.scale


def repetition(rehearsal: Rehearsal, share: float) -> float:
    """Which part of the text of the whole input is repeated, beyond that of the sample which is this share of it.

    Of passages that are there twice, a sample holds both with the chance that it holds the one more; what is
    repeated in a few documents already is repeated everywhere.
    """
    everywhere, seen = cut_of(rehearsal.few), cut_of(rehearsal.many)
    expected = min(1.0, everywhere + max(0.0, seen - everywhere) / share)
    return min(1.0, 2 * max(0.0, expected - seen))  # what is cut has its like, which stays and costs as much


def cut_of(performance: Performance) -> float:
    """The part of the text before it that a search for repeated substrings leaves out."""
    steps = [step["step"] for step in performance.funnel]
    if REPEATED not in steps[1:]:
        return 0.0
    behind = steps.index(REPEATED)
    before, left = (performance.funnel[index]["bytes"] for index in (behind - 1, behind))
    return 1 - left / before if before else 0.0


def sorting(sample: float, whole: float) -> float:
    """How much longer a key takes among all than among those of a sample: sorting compares each log2(n) times."""
    return max(1.0, log2(max(2.0, whole)) / log2(max(2.0, sample)))


def start_seconds(held: Held, workers: int) -> float:
    """Seconds until a run is under way: its process, then its workers, then what they load."""
    processes = 2 if workers > 1 else 1
    return processes * held.load_seconds + mean(each.cold_seconds for each in held.rehearsals)


def makespan(seconds: float, weights: Sequence[int], workers: int) -> float:
    """Time until `workers` have done shards of these weights that take so many seconds in all, each the next one."""
    whole = sum(weights)
    if not whole:
        return seconds
    busy = [0.0] * max(1, workers)
    for weight in weights:
        idlest = busy.index(min(busy))
        busy[idlest] += seconds * weight / whole
    return max(busy)


def memory_bytes(held: Held, keys: float, *, workers: int, sorting_bytes: int) -> int:
    """The most memory of all processes at once; one worker is the process that compares, too."""
    worker = max(each.peak_bytes for each in held.rehearsals)
    sorting_bytes = min(SORT_BYTES * round(keys), sorting_bytes or sys.maxsize)
    beside = held.loaded_bytes if workers > 1 else 0
    return max(1, workers) * worker + beside + sorting_bytes


def doubt(share: float) -> float:
    """The factor that a time may be off by, either way, when this share of the input was read."""
    return SURE if share >= 1 else SURE + (UNSURE - SURE) * min(1.0, 0.5 + 0.1 * -log2(share))


def steps_of(first: Performance, scale: float, performances: Sequence[Performance]) -> list[StepEstimate]:
    """The steps, scaled; what a name costs is told where it comes first."""
    found, told = [], set()
    for step in first.funnel:
        name = step["step"]
        cost = 0.0 if name in told else mean(each.costs.get(name, 0.0) for each in performances)
        told.add(name)
        found.append(
            StepEstimate(
                step=name,
                documents=round(step["documents"] * scale),
                text_bytes=round(step["bytes"] * scale),
                dropped=round(sum(step["dropped"].values()) * scale),
                worker_seconds=round(cost * scale, 3),
            )
        )
    return found
