"""What the run left on disk."""

import json
from collections.abc import Mapping
from typing import Any

from .. import figures
from ..markup import EMPTY, Html, details, join, scroller, section, tag
from ..view import Artifact, Run

TITLES = ("Stage", "Kind", "Size", "Digest", "Path in the run folder")
TOLD_ELSEWHERE = frozenset({"funnel", "examples", "languages", "before", "after", "seconds", "histograms", "costs"})
MAX_TEXT = 300
MAX_ROWS = 80


def render(run: Run) -> Html:
    """The artifacts as a table, and the figures and settings of each below."""
    if not run.artifacts:
        return EMPTY
    head = tag("tr", [tag("th", title, scope="col", cls="number" if title == "Size" else None) for title in TITLES])
    table = tag("table", tag("thead", head), tag("tbody", [_row(a) for a in run.artifacts]), cls="artifacts")
    return section(
        "Artifacts",
        scroller(table, label="Artifacts of this run"),
        tag("h3", "Figures and settings of each stage"),
        [_facts(artifact) for artifact in run.artifacts],
        anchor="artifacts",
        lead=f"{len(run.artifacts)} folders, {figures.size(sum(a.bytes for a in run.artifacts))}. "
        "The digest names the content: equal digests, equal data.",
    )


def _row(artifact: Artifact) -> Html:
    files = f"{figures.count(artifact.num_files)} {'file' if artifact.num_files == 1 else 'files'}"
    return tag(
        "tr",
        tag("th", artifact.stage, scope="row"),
        tag("td", tag("span", artifact.kind, cls="kind")),
        tag("td", figures.size(artifact.bytes), tag("small", f" {files}"), cls="number"),
        tag("td", tag("code", artifact.digest[:12], title=artifact.digest)),
        tag("td", tag("code", artifact.path)),
    )


def _facts(artifact: Artifact) -> Html:
    parts = [
        join(tag("h4", "Figures"), _table(_flat(artifact.stats))) if artifact.stats else None,
        join(tag("h4", "Settings"), _table(_flat(artifact.config))) if artifact.config else None,
    ]
    return details(join(tag("b", artifact.stage), f" · {_made_by(artifact)}"), parts, cls="facts-of-stage")


def _made_by(artifact: Artifact) -> str:
    producer = artifact.producer
    name = f"{producer.get('package', 'unknown producer')} {producer.get('version', '')}".strip()
    return f"{name} · {artifact.created.replace('T', ' ')}" if artifact.created else name


def _table(rows: Mapping[str, str]) -> Html:
    if not rows:
        return tag("p", "Shown above.", cls="empty")
    shown = list(rows.items())[:MAX_ROWS]
    if len(rows) > MAX_ROWS:
        shown.append(("…", f"{figures.count(len(rows) - MAX_ROWS)} more in manifest.json"))
    cells = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in shown]
    return tag("div", tag("table", tag("tbody", cells), cls="facts-table"), cls="table-frame")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values under dotted names; what another section shows better is left to it."""
    rows: dict[str, str] = {}
    for name, value in values.items():
        if not prefix and name in TOLD_ELSEWHERE and isinstance(value, Mapping | list):
            continue
        if isinstance(value, Mapping) and value:
            rows |= _flat(value, f"{prefix}{name}.")
        else:
            rows[f"{prefix}{name}"] = show(value)
    return rows


def show(value: Any) -> str:
    """Any JSON value in a table cell; long ones are cut, and say so."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "not set"}[value]
    if isinstance(value, int | float):
        return figures.figure(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({figures.count(len(text))} characters)"
