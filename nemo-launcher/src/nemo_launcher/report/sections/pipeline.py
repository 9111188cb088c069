"""The stages in order: what feeds what, when each ran and for how long."""

from collections.abc import Mapping, Sequence

from .. import figures
from ..markup import EMPTY, Html, section, tag
from ..view import Run, Stage
from .states import SIGNS, badge

ROW_PX = 46
ARC_PX = 84


def render(run: Run) -> Html:
    """The stages as a graph beside a timetable."""
    if not run.stages:
        return EMPTY
    total = max((end(stage) for stage in run.stages), default=0.0)
    rows = [_row(stage, total=total) for stage in run.stages]
    return section(
        "Pipeline",
        tag("div", arcs(run.stages), tag("ol", rows, cls="stages"), cls="pipeline"),
        anchor="pipeline",
        lead="Each stage reads folders that earlier ones wrote; the arcs show which. Bars show when a stage ran.",
    )


def end(stage: Stage) -> float:
    """Seconds from the run's start to the end of the stage's last attempt."""
    return max((last for _, last in stage.spans), default=0.0)


def _row(stage: Stage, *, total: float) -> Html:
    kind = stage.artifact.kind if stage.artifact else ""
    detail = tag("span", stage.use, f" → {kind}" if kind else None, cls="stage-use")
    return tag(
        "li",
        tag("span", tag("span", stage.name, cls="stage-name"), detail, cls="stage-what"),
        badge(stage.state),
        _timetable(stage, total=total),
        tag("span", figures.duration(stage.seconds), cls="stage-time"),
        cls=f"stage {stage.state}",
        data_stage=stage.name,
        data_needs=" ".join(stage.needs) or None,
    )


def _timetable(stage: Stage, *, total: float) -> Html:
    if not stage.spans or total <= 0:
        return tag("span", cls="timetable", aria_hidden="true")
    attempts = [_attempt(begin, last, total=total) for begin, last in stage.spans]
    return tag("span", tag("svg", attempts, aria_hidden="true"), cls="timetable")


def _attempt(begin: float, last: float, *, total: float) -> Html:
    width = max(0.6, 100 * (last - begin) / total)
    return tag(
        "rect",
        tag("title", f"{figures.duration(last - begin)}, from {figures.duration(begin)} on"),
        x=f"{min(100 * begin / total, 100 - width):.2f}%",
        width=f"{width:.2f}%",
        height="100%",
        rx=3,
    )


def arcs(stages: Sequence[Stage]) -> Html:
    """The graph as dots on a line, one per row, and an arc from each stage to those that read its output."""
    rows = {stage.name: index for index, stage in enumerate(stages)}
    edges = [(rows[need], rows[stage.name]) for stage in stages for need in stage.needs if need in rows]
    names = [stage.name for stage in stages]
    height = ROW_PX * len(stages)
    longest = max((abs(b - a) for a, b in edges), default=1)
    return tag(
        "svg",
        [_arc(a, b, longest=longest, names=names) for a, b in edges],
        [_dot(stage, index) for index, stage in enumerate(stages)],
        cls="arcs",
        width=ARC_PX,
        height=height,
        viewBox=f"0 0 {ARC_PX} {height}",
        preserveAspectRatio="xMaxYMin slice",
        role="img",
        aria_label=describe(edges, names),
    )


def describe(edges: Sequence[tuple[int, int]], names: Sequence[str]) -> str:
    """The graph in words."""
    readers: Mapping[int, list[str]] = {a: [names[y] for x, y in edges if x == a] for a, _ in edges}
    return "Graph of the stages. " + " ".join(f"{names[a]} feeds {', '.join(to)}." for a, to in readers.items())


def _arc(a: int, b: int, *, longest: int, names: Sequence[str]) -> Html:
    x, top, bottom = ARC_PX - 14, _middle(a), _middle(b)
    reach = 0 if b - a == 1 else 12 + (ARC_PX - 30) * (abs(b - a) - 1) / max(longest - 1, 1)
    bend = min(22.0, abs(bottom - top) / 2)
    left = x - reach
    path = f"M{x} {top}C{left:.0f} {top} {left:.0f} {top} {left:.0f} {top + bend:.0f}L{left:.0f} {bottom - bend:.0f}"
    path += f"C{left:.0f} {bottom} {left:.0f} {bottom} {x} {bottom}"
    shape = f"M{x} {top}V{bottom}" if reach == 0 else path
    return tag("path", tag("title", f"{names[a]} → {names[b]}"), d=shape, data_from=names[a], data_to=names[b])


def _middle(row: int) -> float:
    return ROW_PX * row + ROW_PX / 2


def _dot(stage: Stage, row: int) -> Html:
    word = SIGNS[stage.state][1]
    return tag("circle", tag("title", f"{stage.name}: {word}"), cx=ARC_PX - 14, cy=_middle(row), r=6, cls=stage.state)
