"""Where documents went, from the stats of a `documents` artifact."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..view import Artifact, Curation, Example, FunnelStep, Reason
from .reading import counts, integer, items, mapping, number, text

MAX_EXAMPLES = 5


def read_curation(artifact: Artifact) -> Curation:
    """The funnel, the reasons with examples (most frequent first) and the languages (largest first)."""
    stats = artifact.stats
    steps = tuple(_steps(stats))
    languages = counts(stats.get("languages"))
    return Curation(
        stage=artifact.stage,
        documents_in=integer(stats.get("documents_in")),
        documents_out=integer(stats.get("documents_out")),
        bytes_in=integer(stats.get("bytes_in")),
        bytes_out=integer(stats.get("bytes_out")),
        steps=steps,
        reasons=_reasons(steps, mapping(stats.get("examples"))),
        languages=tuple(sorted(((name or "unknown", n) for name, n in languages.items()), key=_by_count)),
    )


def _by_count(pair: tuple[str, int]) -> tuple[int, str]:
    return -pair[1], pair[0]


def _steps(stats: Mapping[str, Any]) -> list[FunnelStep]:
    costs = {name: mapping(cost).get("seconds") for name, cost in mapping(stats.get("costs")).items()}
    seconds = {**mapping(stats.get("seconds")), **costs}
    rows = [mapping(row) for row in items(stats.get("funnel"))]
    return [
        FunnelStep(
            name=text(row.get("step")),
            documents=integer(row.get("documents")) or 0,
            dropped=counts(row.get("dropped")),
            seconds=number(seconds.get(text(row.get("step")))),
        )
        for row in rows
    ]


def _reasons(steps: Sequence[FunnelStep], examples: Mapping[str, Any]) -> tuple[Reason, ...]:
    totals: Counter[str] = Counter()
    for step in steps:
        totals.update(step.dropped)
    for name in examples:
        totals.setdefault(name, 0)
    ordered = sorted(totals.items(), key=_by_count)
    return tuple(Reason(name=name, documents=n, examples=_examples(examples.get(name))) for name, n in ordered)


def _examples(value: Any) -> tuple[Example, ...]:
    rows = [mapping(row) for row in items(value)[:MAX_EXAMPLES]]
    return tuple(
        Example(
            title=text(row.get("title")) or text(row.get("id")),
            excerpt=text(row.get("excerpt")),
            detail=text(row.get("detail")),
        )
        for row in rows
    )
