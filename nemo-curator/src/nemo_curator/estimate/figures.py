"""From a sample and the size of an input to what the run will take: pure arithmetic."""

from dataclasses import dataclass
from typing import Any

from ..dedup.semantic_settings import SemanticDedup
from ..pipeline import Pipeline
from .sample import Sample

PROCESS_START_S = 1.5
GROUPING_BYTES = 48
"""Bytes a document takes in the comparing process: a key, its order, its number, its label, its length, a spare."""
KEY_BYTES = 8
NUMBER_BYTES = 4
NEAREST_BYTES = 24
"""A document's nearest centroid, the similarity to it, and its length."""
DIGEST_KEYS = 2


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What there is: processes to work with, free disk under the output, memory, seconds to sort a key."""

    workers: int
    free_disk_bytes: int
    free_memory_bytes: int
    sort_s: float


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
    """What the run will take. Deduplication is taken to drop nothing, so that sizes are upper bounds."""

    documents: int
    steps: list[StepEstimate]
    seconds: float
    memory_bytes: int
    work_bytes: int
    output_bytes: int
    sampled_share: float


def estimate(sample: Sample, pipeline: Pipeline, *, total_bytes: int, shards: int, machine: Machine) -> Estimate:
    """The sample's figures scaled to the whole input."""
    scale = total_bytes / sample.input_bytes if sample.input_bytes else 0.0
    steps = [
        StepEstimate(
            step=each.step,
            documents=round(each.documents * scale),
            text_bytes=round(each.bytes * scale),
            dropped=round(each.dropped * scale),
            worker_seconds=round(each.seconds * scale, 3),
        )
        for each in sample.steps
    ]
    compared = keys_compared(pipeline, steps)
    busy = max(1, min(machine.workers, shards))
    alone = sum(step.worker_seconds for step in steps) / busy
    together = sum(documents * keys for documents, keys in compared) * machine.sort_s
    processes = machine.workers + 1 if machine.workers > 1 else 1
    return Estimate(
        documents=round(sample.documents * scale),
        steps=steps,
        seconds=round(PROCESS_START_S + alone + together, 1),
        memory_bytes=processes * sample.resident_bytes + GROUPING_BYTES * max((d for d, _ in compared), default=0),
        work_bytes=work_bytes(sample, pipeline, compared, scale),
        output_bytes=round(scale * (sample.steps[-1].stored_bytes + sum(s.rejected_bytes for s in sample.steps))),
        sampled_share=round(min(1.0, 1 / scale), 4) if scale else 0.0,
    )


def keys_compared(pipeline: Pipeline, steps: list[StepEstimate]) -> list[tuple[int, int]]:
    """For each deduplication, the documents and the keys of each."""
    return [
        (behind.documents, num_keys(step.settings))
        for step, behind in zip(pipeline.steps, steps[1:], strict=True)
        if step.compares_documents
    ]


def num_keys(settings: Any) -> int:
    """Keys that a deduplication writes of each document, its length included."""
    banding = getattr(settings, "banding", None)
    return (int(banding[0]) if banding else DIGEST_KEYS) + 1


def work_bytes(sample: Sample, pipeline: Pipeline, compared: list[tuple[int, int]], scale: float) -> int:
    """Most disk that files between steps take at once: the texts of two neighbouring segments, and the keys of one."""
    behind = zip(pipeline.steps, sample.steps[1:], strict=True)
    between = [round(measured.draft_bytes * scale) for step, measured in behind if step.compares_documents]
    texts = max((sum(between[i : i + 2]) for i in range(len(between))), default=0)
    compared_by = (step.settings for step in pipeline.steps if step.compares_documents)
    kept = (documents * bytes_kept(by) for (documents, _), by in zip(compared, compared_by, strict=True))
    return texts + max(kept, default=0)


def bytes_kept(settings: Any) -> int:
    """Bytes a document takes on disk while all are compared: its keys or, by meaning, its embedding twice."""
    if isinstance(settings, SemanticDedup):
        return 2 * settings.width * NUMBER_BYTES + NEAREST_BYTES
    return num_keys(settings) * KEY_BYTES
