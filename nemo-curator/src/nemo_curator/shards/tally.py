"""Counts of what happened to documents, per shard, that add up to those of the run."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..document import text_bytes
from ..filter.histograms import edges
from ..foundation.atomic import write_text

EXAMPLES = 3
EXCERPT_CHARACTERS = 200


@dataclass
class StepTally:
    """Documents and text bytes behind a step, those it dropped by reason, and the seconds it took."""

    step: str
    documents: int = 0
    bytes: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class Tally:
    """What the steps of one segment did; `comparison` times the keys for the deduplication behind it."""

    steps: list[StepTally] = field(default_factory=list)
    documents_in: int = 0
    bytes_in: int = 0
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    histograms: dict[str, list[int]] = field(default_factory=dict)
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
    """Add the seconds of the block to a step."""
    started = perf_counter()
    yield
    step.seconds += perf_counter() - started


def load(path: Path) -> Tally:
    """The tally that `save` wrote."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    steps = [StepTally(**step) for step in plain["steps"]]
    return Tally(**{**plain, "steps": steps, "comparison": StepTally(**plain["comparison"])})


def add_counts(into: dict[str, int], more: Mapping[str, int]) -> None:
    """Add counts by name."""
    for name, number in more.items():
        into[name] = into.get(name, 0) + number


def add(tallies: Iterable[Tally]) -> Tally:
    """The sum of the tallies of a segment's shards, in order."""
    total = Tally()
    for tally in tallies:
        total.documents_in += tally.documents_in
        total.bytes_in += tally.bytes_in
        add_counts(total.languages, tally.languages)
        total.comparison.seconds += tally.comparison.seconds
        for index, step in enumerate(tally.steps):
            into = total.step(index, step.step)
            into.documents += step.documents
            into.bytes += step.bytes
            into.seconds += step.seconds
            add_counts(into.dropped, step.dropped)
        for reason, shown in tally.examples.items():
            total.examples[reason] = [*total.examples.get(reason, []), *shown][:EXAMPLES]
        for name, counts in tally.histograms.items():
            before = total.histograms.get(name, [0] * len(counts))
            total.histograms[name] = [a + b for a, b in zip(before, counts, strict=True)]
    return total
