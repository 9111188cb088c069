"""Line charts. Places are percentages of the plot, so the drawing stretches and its text and strokes do not."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from ..figures import figure
from ..markup import EMPTY, Html, join, tag
from . import scale
from .scale import Scale

Points = Sequence[tuple[float, float]]
Weight = Literal["strong", "light"]
MAX_POINTS = 400
UNITS = 1000
"""Width and height of the coordinates that the stretching part of a plot is drawn in."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line: its points by rising x, a colour of the palette (1..8), strong or light."""

    label: str
    points: tuple[tuple[float, float], ...]
    colour: int = 1
    weight: Weight = "strong"


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    show: Callable[[float], str] = figure,
    share: bool = False,
    x_name: str = "training step",
) -> Html:
    """A figure with axes, ticks, legend and a readout under the pointer; a sentence where there is nothing to draw.

    `show` writes a value in words; `share` says that values lie between 0 and 1 and have percentages on their axis.
    """
    drawn = [_clean(line) for line in lines]
    drawn = [line for line in drawn if line.points]
    if not drawn:
        return tag("figure", _caption(title, []), tag("p", "No values were recorded.", cls="empty"), cls="chart")
    xs = scale.step_scale(x for line in drawn for x, _ in line.points)
    ys = scale.nice_scale(y for line in drawn for _, y in line.points)
    plot = tag(
        "svg",
        _grid(xs, ys, share=share, x_name=x_name),
        _strokes(drawn, xs, ys),
        [_ends(line, xs, ys, show=show) for line in drawn],
        cls="plot",
        role="img",
        aria_label=describe(drawn, title=title, show=show, x_name=x_name),
        tabindex=0,
        data_readout=_readout(drawn, xs, ys, show=show, x_name=x_name),
    )
    return tag("figure", _caption(title, drawn), tag("div", plot, cls="plot-frame"), cls="chart")


def _clean(line: Line) -> Line:
    fit = [point for point in line.points if scale.drawable(point[0]) and scale.drawable(point[1])]
    return Line(label=line.label, points=tuple(thin(fit)), colour=line.colour, weight=line.weight)


def thin(points: Points, *, limit: int = MAX_POINTS) -> Points:
    """At most about `limit` points that keep the shape: the lowest and highest of each stretch, and both ends."""
    if len(points) <= limit:
        return points
    width = -(-len(points) * 2 // limit)
    kept: list[tuple[float, float]] = [points[0]]
    for start in range(1, len(points) - 1, width):
        stretch = points[start : min(start + width, len(points) - 1)]
        kept += sorted({min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])})
    return [*kept, points[-1]]


def running_mean(points: Points, *, reach: int) -> tuple[tuple[float, float], ...]:
    """Each value replaced by the mean of itself and up to `reach` neighbours on both sides, so that no line lags."""
    sums = [0.0, *accumulate(y for _, y in points)]
    means = []
    for index, (x, _) in enumerate(points):
        near = min(reach, index, len(points) - 1 - index)
        means.append((x, (sums[index + near + 1] - sums[index - near]) / (2 * near + 1)))
    return tuple(means)


def describe(lines: Sequence[Line], *, title: str, show: Callable[[float], str], x_name: str) -> str:
    """The chart in words, for those who do not see it."""
    parts = [
        f"{line.label} from {show(line.points[0][1])} at {x_name} {figure(line.points[0][0])} "
        f"to {show(line.points[-1][1])} at {figure(line.points[-1][0])}"
        for line in lines
    ]
    return f"{title}: line chart. {'; '.join(parts)}."


def _caption(title: str, lines: Sequence[Line]) -> Html:
    keys = [tag("span", tag("i", cls=f"swatch c{line.colour} {line.weight}"), line.label, cls="key") for line in lines]
    return tag("figcaption", tag("span", title, cls="chart-title"), tag("span", keys, cls="legend") if keys else None)


def _grid(xs: Scale, ys: Scale, *, share: bool, x_name: str) -> Html:
    rows = [
        join(
            tag("line", x1="0", x2="100%", y1=_y(ys, tick), y2=_y(ys, tick), cls="grid"),
            tag("text", label, x="-9", y=_y(ys, tick), dy=".32em", text_anchor="end"),
        )
        for tick, label in zip(ys.ticks, scale.tick_labels(ys, share=share))
    ]
    columns = [
        join(
            tag("line", x1=_x(xs, tick), x2=_x(xs, tick), y1="100%", y2="100%", cls="tick"),
            tag("text", label, x=_x(xs, tick), y="100%", dy="1.6em", text_anchor="middle"),
        )
        for tick, label in zip(xs.ticks, scale.tick_labels(xs))
    ]
    axis = tag("line", x1="0", x2="100%", y1="100%", y2="100%", cls="axis")
    name = tag("text", x_name, x="50%", y="100%", dy="3.1em", text_anchor="middle", cls="axis-name")
    return tag("g", rows, columns, axis, name, aria_hidden="true")


def _strokes(lines: Sequence[Line], xs: Scale, ys: Scale) -> Html:
    paths = [
        tag(
            "path",
            d=_path(line.points, xs, ys),
            cls=f"stroke c{line.colour} {line.weight}",
            vector_effect="non-scaling-stroke",
        )
        for line in lines
        if len(line.points) > 1
    ]
    box = f"0 0 {UNITS} {UNITS}"
    return tag("svg", paths, width="100%", height="100%", viewBox=box, preserveAspectRatio="none", cls="stretch")


def _path(points: Points, xs: Scale, ys: Scale) -> str:
    places = (f"{UNITS * xs.place(x):.1f} {UNITS * (1 - ys.place(y)):.1f}" for x, y in points)
    return "M" + "L".join(places)


def _ends(line: Line, xs: Scale, ys: Scale, *, show: Callable[[float], str]) -> Html:
    """Dots on the first and last point, which name their values; every point where there are few."""
    if line.weight == "light":
        return EMPTY
    marked = line.points if len(line.points) <= 12 else (line.points[0], line.points[-1])
    return join(
        tag(
            "circle",
            tag("title", f"{line.label}: {show(y)} at {figure(x)}"),
            cx=_x(xs, x),
            cy=_y(ys, y),
            r=3.5,
            cls=f"dot c{line.colour}",
        )
        for x, y in marked
    )


def _x(xs: Scale, value: float) -> str:
    return f"{100 * xs.place(value):.2f}%"


def _y(ys: Scale, value: float) -> str:
    return f"{100 * (1 - ys.place(value)):.2f}%"


def _readout(lines: Sequence[Line], xs: Scale, ys: Scale, *, show: Callable[[float], str], x_name: str) -> str:
    """What the script shows under the pointer: per line the place and the text of every point."""
    rows = [
        {
            "label": line.label,
            "colour": line.colour,
            "points": [[round(xs.place(x), 4), round(1 - ys.place(y), 4), figure(x), show(y)] for x, y in line.points],
        }
        for line in lines
    ]
    return json.dumps({"x": x_name, "lines": rows}, separators=(",", ":"), ensure_ascii=False)
