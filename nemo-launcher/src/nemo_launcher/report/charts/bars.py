"""Horizontal bars made of parts."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..markup import Html, join, tag


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of a bar: its value, what the tooltip says, and its class of the style sheet."""

    value: float
    title: str
    cls: str


def bar(parts: Sequence[Part], *, whole: float, label: str) -> Html:
    """The parts side by side, as shares of `whole`; a part that is not empty can always be seen."""
    pieces, start = [], 0.0
    for part in parts:
        width = share(part.value, whole)
        if width > 0:
            pieces.append(_piece(part, start=start, width=width))
        start = min(100.0, start + width)
    return tag("svg", join(pieces), cls="bar", role="img", aria_label=label)


def _piece(part: Part, *, start: float, width: float) -> Html:
    return tag(
        "rect",
        tag("title", part.title),
        x=f"{min(start, 99.6):.2f}%",
        width=f"{max(width, 0.4):.2f}%",
        height="100%",
        cls=part.cls,
    )


def share(value: float, whole: float) -> float:
    """`value` as a percentage of `whole`, kept between 0 and 100; 0 where there is no whole."""
    return min(100.0, max(0.0, 100 * value / whole)) if whole > 0 else 0.0
