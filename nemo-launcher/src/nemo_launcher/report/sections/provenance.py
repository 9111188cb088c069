"""Where the run came from, and what this report could not find."""

from ..markup import EMPTY, Html, section, tag
from ..view import Run


def render(run: Run) -> Html:
    """Workflow, times and versions as recorded."""
    rows = [("started", run.started), ("finished", run.finished), *run.provenance]
    cells = [tag("tr", tag("th", name, scope="row"), tag("td", tag("code", value))) for name, value in rows if value]
    if not cells:
        return EMPTY
    table = tag("table", tag("tbody", cells), cls="facts-table")
    return section("Provenance", tag("div", table, cls="table-frame"), anchor="provenance")


def render_missing(run: Run) -> Html:
    """What was expected in the run folder and not found."""
    if not run.missing:
        return EMPTY
    return section(
        "Not in this report",
        tag("ul", [tag("li", sentence, dir="auto") for sentence in run.missing], cls="missing"),
        anchor="missing",
    )
