"""Training stages: figures before and after from the manifest, curves from metrics.jsonl."""

from collections.abc import Sequence
from typing import Any

from ..view import Artifact, Learning, Series
from .reading import Reader, integer, number, numbers, text

NOT_CURVES = frozenset({"step", "tokens", "time_s"})


def read_learning(artifact: Artifact, reader: Reader) -> Learning:
    """The training stage that wrote `artifact`."""
    stats = artifact.stats
    rows = reader.rows(reader.root / artifact.path / "metrics.jsonl", why=f"{artifact.stage} has no curves")
    return Learning(
        stage=artifact.stage,
        objective=text(stats.get("objective")) or artifact.stage,
        steps=integer(stats.get("steps")),
        tokens=integer(stats.get("tokens")),
        parameters=integer(stats.get("parameters")),
        seconds=number(stats.get("seconds")),
        before=numbers(stats.get("before")),
        after=numbers(stats.get("after")),
        curves=read_curves(rows),
    )


def read_curves(rows: Sequence[dict[str, Any]]) -> tuple[Series, ...]:
    """One series per metric, in the order of first appearance; rows without a step are numbered."""
    names = dict.fromkeys(name for row in rows for name, value in row.items() if _is_metric(name, value))
    return tuple(_series(name, rows) for name in names)


def _is_metric(name: str, value: Any) -> bool:
    return name not in NOT_CURVES and isinstance(value, int | float) and not isinstance(value, bool)


def _series(name: str, rows: Sequence[dict[str, Any]]) -> Series:
    points: dict[float, float] = {}
    not_finite = 0
    for index, row in enumerate(rows):
        if not _is_metric(name, row.get(name)):
            continue
        step, value = number(row.get("step")), number(row[name])
        if value is None:
            not_finite += 1
        else:
            points[float(index) if step is None else step] = value
    return Series(name=name, points=tuple(sorted(points.items())), not_finite=not_finite)
