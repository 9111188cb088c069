"""Results as a table that reads well in a terminal: a row per metric, a column per model."""

from collections.abc import Mapping
from typing import Any

MARK = " *"


def table(results: Mapping[str, Any]) -> str:
    """The metrics of all models; the best of each row is marked with a star."""
    names = list(dict.fromkeys(metric for result in results.values() for metric in result["metrics"]))
    rows = [[""] + [f"{model}  " for model in results]]
    rows += [[label(name, results), *cells(name, results)] for name in names]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
        for row in rows
    )


def label(name: str, results: Mapping[str, Any]) -> str:
    """A metric's name and which way is better."""
    better = next(r["metrics"][name]["better"] for r in results.values() if name in r["metrics"])
    return f"{name} ({better} is better)"


def cells(name: str, results: Mapping[str, Any]) -> list[str]:
    """A metric's figure for each model."""
    found = [result["metrics"].get(name) for result in results.values()]
    values = [metric["value"] for metric in found if metric]
    lower = next(metric["better"] for metric in found if metric) == "lower"
    best = (min if lower else max)(values)
    return ["-" + "  " if m is None else f"{m['value']:.3f}" + (MARK if m["value"] == best else "  ") for m in found]
