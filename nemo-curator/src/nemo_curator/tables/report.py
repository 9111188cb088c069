"""Figures and page of an artifact of documents that was made in one pass."""

from collections.abc import Mapping
from typing import Any

from ..foundation.artifact import Draft
from ..report.page import render
from ..shards import tally as tallies


def figures(total: tallies.Tally) -> dict[str, Any]:
    """The figures of a run."""
    last = total.steps[-1] if total.steps else None
    return {
        "documents_in": total.documents_in,
        "documents_out": last.documents if last else 0,
        "bytes_in": total.bytes_in,
        "bytes_out": last.bytes if last else 0,
        "funnel": tallies.funnel(total.steps),
        "examples": total.examples,
        "languages": dict(sorted(total.languages.items(), key=lambda item: -item[1])),
        "histograms": total.histograms,
        "changes": total.changes,
        "costs": tallies.costs(total.steps),
        "ignored_files": [],
    }


def write_report(draft: Draft, config: Mapping[str, Any]) -> None:
    """Write the page into the artifact."""
    (draft.path / "report.html").write_text(render(draft.stats, config), encoding="utf-8")
