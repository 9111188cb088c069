"""Counts of what happened to documents, per shard, that add up to those of the run."""

import json
import resource
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..document import Verdict, text_bytes
from ..filter.histograms import edges
from ..foundation.atomic import write_text

EXAMPLES = 3
STOP_WORDS = "too_few_stop_words"
EXCERPT_CHARACTERS = 300
STATM = Path("/proc/self/statm")
PAGE_BYTES = resource.getpagesize()
COSTS = ("seconds", "cpu_seconds", "peak_bytes")


@dataclass
class StepTally:
    """Documents and their bytes behind a step, those it dropped by reason, and what it cost.

    `cpu_seconds` are those of the worker's process; `peak_bytes` is the most that a worker held behind a batch.
    """

    step: str
    documents: int = 0
    bytes: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0

    def charge(self, other: "StepTally") -> None:
        """Add what another tally cost."""
        self.seconds += other.seconds
        self.cpu_seconds += other.cpu_seconds
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)


@dataclass
class Tally:
    """What the steps of one segment did; `comparison` times the keys for the deduplication behind it."""

    steps: list[StepTally] = field(default_factory=list)
    documents_in: int = 0
    bytes_in: int = 0
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    histograms: dict[str, list[int]] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)
    languages_without_stop_words: dict[str, int] = field(default_factory=dict)
    comparison: StepTally = field(default_factory=lambda: StepTally(""))

    def step(self, index: int, name: str) -> StepTally:
        """The tally of the step at `index` of the segment."""
        while len(self.steps) <= index:
            self.steps.append(StepTally(name))
        return self.steps[index]

    def kept(self, step: StepTally, documents: pa.Table) -> None:
        """Count the documents that a step let pass."""
        step.documents += documents.num_rows
        step.bytes += text_bytes(documents)

    def dropped(self, step: StepTally, rejects: pa.Table) -> None:
        """Count the documents that a step dropped, and keep the first of each reason as examples."""
        reasons = rejects["reason"].to_pylist()
        add_counts(step.dropped, Counter(reasons))
        if STOP_WORDS in reasons and "language" in rejects.column_names:
            languages = zip(reasons, rejects["language"].to_pylist(), strict=True)
            counts = Counter(language for reason, language in languages if reason == STOP_WORDS and language)
            add_counts(self.languages_without_stop_words, counts)
        for row, reason in enumerate(reasons):
            shown = self.examples.setdefault(reason, [])
            if len(shown) < EXAMPLES:
                shown.append(example(rejects.slice(row, 1).to_pylist()[0]))

    def scored(self, scores: dict[str, npt.NDArray[np.float64]]) -> None:
        """Count scores into the bins of their histograms."""
        for name, values in scores.items():
            bins = edges(name)
            counts, _ = np.histogram(np.clip(values, bins[0], bins[-1]), bins)
            before = self.histograms.get(name, [0] * len(counts))
            self.histograms[name] = [a + int(b) for a, b in zip(before, counts, strict=True)]

    def judged(self, verdict: Verdict) -> None:
        """Count the scores and the changes of a step."""
        self.scored(verdict.scores)
        add_counts(self.changes, verdict.counts)

    def finished(self, documents: pa.Table) -> None:
        """Count the languages of documents that leave the pipeline."""
        add_counts(self.languages, Counter(documents["language"].to_pylist()))

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_text(path, json.dumps(asdict(self), ensure_ascii=False))


def example(row: dict[str, Any]) -> dict[str, str]:
    """What a report shows of a dropped document."""
    excerpt = " ".join((row["text"] or "").split())[:EXCERPT_CHARACTERS]
    return {"id": row["id"], "title": row["title"] or "", "excerpt": excerpt, "detail": row["detail"] or ""}


@contextmanager
def timed(step: StepTally) -> Iterator[None]:
    """Charge the block to a step."""
    started, started_cpu = perf_counter(), process_time()
    yield
    step.charge(StepTally("", 0, 0, {}, perf_counter() - started, process_time() - started_cpu, resident_bytes()))


def resident_bytes() -> int:
    """Memory that this process holds now; where the system does not tell, the most it has held."""
    try:
        return int(STATM.read_bytes().split()[1]) * PAGE_BYTES
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def load(path: Path) -> Tally:
    """The tally that `save` wrote."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    steps = [StepTally(**step) for step in plain["steps"]]
    return Tally(**{**plain, "steps": steps, "comparison": StepTally(**plain["comparison"])})


def add_counts(into: dict[str, int], more: Mapping[str, int]) -> None:
    """Add counts by name."""
    for name, number in more.items():
        into[name] = into.get(name, 0) + number


def add_changes(tallies: Iterable[Tally]) -> dict[str, int]:
    """How often steps changed what, in all segments."""
    total: dict[str, int] = {}
    for tally in tallies:
        add_counts(total, tally.changes)
    return total


def add_languages(tallies: Iterable[Tally]) -> dict[str, int]:
    """Languages of documents that went for their few stop words, most frequent first."""
    total: Counter[str] = Counter()
    for tally in tallies:
        total.update(tally.languages_without_stop_words)
    return dict(total.most_common())


def add(tallies: Iterable[Tally]) -> Tally:
    """The sum of the tallies of a segment's shards, in order."""
    total = Tally()
    for tally in tallies:
        total.documents_in += tally.documents_in
        total.bytes_in += tally.bytes_in
        add_counts(total.languages, tally.languages)
        add_counts(total.changes, tally.changes)
        add_counts(total.languages_without_stop_words, tally.languages_without_stop_words)
        total.comparison.charge(tally.comparison)
        for index, step in enumerate(tally.steps):
            into = total.step(index, step.step)
            into.documents += step.documents
            into.bytes += step.bytes
            into.charge(step)
            add_counts(into.dropped, step.dropped)
        for reason, shown in tally.examples.items():
            total.examples[reason] = [*total.examples.get(reason, []), *shown][:EXAMPLES]
        for name, counts in tally.histograms.items():
            before = total.histograms.get(name, [0] * len(counts))
            total.histograms[name] = [a + b for a, b in zip(before, counts, strict=True)]
    return total


def funnel(steps: Iterable[StepTally]) -> list[dict[str, Any]]:
    """Documents and bytes behind each step, without what it cost."""
    return [{key: value for key, value in asdict(step).items() if key not in COSTS} for step in steps]


def costs(steps: Iterable[StepTally]) -> dict[str, dict[str, float]]:
    """Seconds, CPU seconds and memory by step, added up where a step comes twice."""
    charged: dict[str, StepTally] = {}
    for step in steps:
        charged.setdefault(step.step, StepTally(step.step)).charge(step)
    return {
        name: {
            "seconds": round(step.seconds, 3),
            "cpu_seconds": round(step.cpu_seconds, 3),
            "peak_bytes": step.peak_bytes,
        }
        for name, step in charged.items()
    }
