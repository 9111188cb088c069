"""Scores of documents as columns, and the verdict that thresholds pass on them."""

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from ..document import Verdict
from ..kernels.scores import SCORES, packed_stop_words, score_documents
from ..kernels.strings import buffers
from .rules import RULES, Scores


def score(text: pa.Array | pa.ChunkedArray) -> dict[str, Scores]:
    """Every score of every text, by name (`SCORES`)."""
    data, offsets = buffers(text)
    return dict(zip(SCORES, score_documents(data, offsets, packed_stop_words()), strict=True))


def first_faults(
    scores: Mapping[str, Scores], limits: Mapping[str, float]
) -> tuple[list[str | None], list[str | None]]:
    """For each document the first rule it breaks and the figures behind that; None where it breaks none."""
    rows = len(next(iter(scores.values())))
    reasons: list[str | None] = [None] * rows
    details: list[str | None] = [None] * rows
    for rule in RULES:
        if rule.threshold not in limits:
            continue
        limit = limits[rule.threshold]
        values = scores[rule.score]
        for row in np.flatnonzero(rule.at_fault(values, limit)):
            if reasons[row] is None:
                reasons[row] = rule.reason
                details[row] = f"{rule.score} {values[row]:.4g}, {rule.threshold} {limit:g}"
    return reasons, details


def judge(limits: Mapping[str, float]) -> Callable[[pa.Table], Verdict]:
    """The quality step for these limits."""

    def step(documents: pa.Table) -> Verdict:
        scores = score(documents["text"])
        reasons, details = first_faults(scores, limits)
        return Verdict(
            documents=documents,
            reason=pa.array(reasons, pa.string()),
            detail=pa.array(details, pa.string()),
            scores={name: scores[name] for name in shown(limits)},
        )

    return step


def shown(limits: Mapping[str, float]) -> list[str]:
    """Scores that a limit looks at, in order, for the report's histograms."""
    return list(dict.fromkeys(rule.score for rule in RULES if rule.threshold in limits))
