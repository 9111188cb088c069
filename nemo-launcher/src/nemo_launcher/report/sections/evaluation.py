"""All models side by side on the same held-out questions."""

from .. import figures
from ..markup import EMPTY, Html, join, scroller, section, tag
from ..measures import measure
from ..view import Evaluation, MetricRow, Run

ARROWS = {"lower": ("↓", "lower is better"), "higher": ("↑", "higher is better")}
SHARES = frozenset({"fraction", "share", "ratio", "probability"})


def render(run: Run) -> Html:
    """One table per evaluation."""
    shown = [evaluation for evaluation in run.evaluations if evaluation.metrics]
    if not shown:
        return EMPTY
    return section(
        "Evaluation, side by side",
        [join(_heading(e, alone=len(shown) == 1), _table(e)) for e in shown],
        anchor="evaluation",
        lead="The same data and code for every model. The best value of each row is marked.",
    )


def _heading(evaluation: Evaluation, *, alone: bool) -> Html:
    return EMPTY if alone else tag("h3", evaluation.stage, cls="of-stage")


def _table(evaluation: Evaluation) -> Html:
    head = tag("tr", tag("th", "Metric", scope="col"), [tag("th", m, scope="col") for m in evaluation.models])
    rows = [_row(row) for row in evaluation.metrics]
    table = tag("table", tag("thead", head), tag("tbody", rows), cls="evaluation")
    return scroller(table, label=f"Figures of {evaluation.stage}")


def _row(row: MetricRow) -> Html:
    arrow, meaning = ARROWS.get(row.better, ("", ""))
    sign = tag("span", arrow, title=meaning, role="img", aria_label=meaning, cls="direction") if arrow else None
    unit = "" if row.unit in SHARES else row.unit
    items = f"{figures.count(row.num_items)} items" if row.num_items else ""
    note = tag("small", " · ".join(fact for fact in (unit, items) if fact))
    winners = best(row)
    cells = [_cell(show(row, value), won=index in winners) for index, value in enumerate(row.values)]
    return tag("tr", tag("th", measure(row.name).label, " ", sign, note, scope="row"), cells)


def _cell(text: str, *, won: bool) -> Html:
    mark = tag("span", "★", cls="star", role="img", aria_label="best") if won else None
    return tag("td", text, mark, cls="best" if won else None)


def show(row: MetricRow, value: float | None) -> str:
    """A value in the metric's own unit."""
    if row.unit in SHARES or (not row.unit and measure(row.name).share):
        return figures.percent(value)
    return figures.figure(value) + ("%" if row.unit == "%" and value is not None else "")


def best(row: MetricRow) -> frozenset[int]:
    """Which models are best; none where no direction is known or all are equal."""
    known = [value for value in row.values if value is not None]
    if row.better not in ARROWS or len(set(known)) < 2:
        return frozenset()
    top = min(known) if row.better == "lower" else max(known)
    return frozenset(index for index, value in enumerate(row.values) if value == top)
