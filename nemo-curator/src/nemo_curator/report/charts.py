"""Pieces of the report: figures, rows with bars, histograms as SVG."""

from bisect import bisect_right
from collections.abc import Sequence
from html import escape

from ..filter.histograms import edges

WIDTH, HEIGHT, HEAD, FOOT = 240, 92, 12, 14
WHOLE_NUMBERS = -0.5
"""Where the first bin of a score begins that counts a few things: each bin is one number."""


def number(value: float) -> str:
    """A count with thousands parted."""
    return f"{value:,.0f}"


def rate(value: float) -> str:
    """A count of something a second: three figures."""
    return number(value) if value >= 100 else f"{value:.3g}"


def share(part: float, whole: float) -> str:
    """A percentage that never rounds something to nothing."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.1f} %" if percent < 99.95 or part == whole else "> 99.9 %"


def size(num_bytes: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds >= 0.1 or not seconds else f"{1000 * seconds:.0f} ms"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def words(name: str) -> str:
    """An identifier as words."""
    return escape(name.replace("_", " "))


def figure(value: str, about: str) -> str:
    """One large figure."""
    return f'<div class="figure"><b>{escape(value)}</b><span>{escape(about)}</span></div>'


def bar(parts: Sequence[tuple[str, float]], *, whole: float) -> str:
    """A bar of coloured parts out of `whole`."""
    pieces = [
        f'<i class="{colour}" style="width:{100 * part / whole:.2f}%"></i>'
        for colour, part in parts
        if whole and part > 0
    ]
    return f'<span class="bar">{"".join(pieces)}</span>'


def row(name: str, parts: Sequence[tuple[str, float]], note: str, *, whole: float) -> str:
    """A name, a bar of coloured parts out of `whole`, and a note."""
    return (
        f'<div class="row"><span class="name">{words(name)}</span>{bar(parts, whole=whole)}'
        f'<span class="number">{escape(note)}</span></div>'
    )


def histogram(score: str, counts: Sequence[int], *, low: float | None, high: float | None) -> str:
    """Distribution of a score with its limits as lines.

    Heights go by the square root so that rare values show; what lies beyond a limit is in the colour of drops.
    """
    bins = edges(score).tolist()
    low_edge, high_edge, most = low, high, bins[-1]
    if bins[0] == WHOLE_NUMBERS:  # a bin is one number: limits stand between two
        most -= 0.5
        low_edge, high_edge = (None if low is None else low - 0.5), (None if high is None else high + 0.5)
    limits = ", ".join(f"{name} {limit:g}" for name, limit in (("≥", low), ("≤", high)) if limit is not None)
    base = HEIGHT - FOOT
    lines = "".join(threshold(place(bins, limit)) for limit in (low_edge, high_edge) if limit is not None)
    return (
        f"<figure><figcaption>{words(score)} <small>{limits}</small></figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="distribution of {words(score)}, {limits}">'
        f"{''.join(columns(bins, counts, low=low_edge, high=high_edge))}"
        f'<line class="base" x1="0" x2="{WIDTH}" y1="{base}" y2="{base}"/>{lines}'
        f'<text x="0" y="{HEIGHT - 3}">{max(bins[0], 0):g}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 3}" text-anchor="end">{most:g}</text></svg></figure>'
    )


def columns(bins: Sequence[float], counts: Sequence[int], *, low: float | None, high: float | None) -> list[str]:
    """The columns of a histogram; one that a limit runs through is cut there."""
    tallest = max(counts, default=0) or 1
    step = WIDTH / len(counts)
    drawn = []
    for i, tall in enumerate(counts):
        if not tall:
            continue
        height = max(1.5, (HEIGHT - HEAD - FOOT) * (tall / tallest) ** 0.5)
        about = f"<title>{max(bins[i], 0):.3g} to {bins[i + 1]:.3g}: {tall:,} documents</title>"
        for left, right, colour in pieces(i * step + 0.5, (i + 1) * step - 0.5, bins, low=low, high=high):
            drawn.append(
                f'<rect class="{colour}" x="{left:.1f}" y="{HEIGHT - FOOT - height:.1f}" width="{right - left:.1f}" '
                f'height="{height:.1f}">{about}</rect>'
            )
    return drawn


def pieces(
    left: float, right: float, bins: Sequence[float], *, low: float | None, high: float | None
) -> list[tuple[float, float, str]]:
    """A column from `left` to `right` cut where limits stand, each piece with its colour."""
    start = left if low is None else min(max(left, place(bins, low)), right)
    end = right if high is None else max(min(right, place(bins, high)), left)
    if start >= end:
        return [(left, right, "out")]
    found = [(left, start, "out"), (start, end, "in"), (end, right, "out")]
    return [piece for piece in found if piece[1] - piece[0] > 0.05]


def place(bins: Sequence[float], value: float) -> float:
    """Where a value stands on the horizontal axis, on which all bins are equally wide."""
    step = WIDTH / (len(bins) - 1)
    if value <= bins[0]:
        return 0.0
    if value >= bins[-1]:
        return float(WIDTH)
    i = bisect_right(list(bins), value) - 1
    return step * (i + (value - bins[i]) / (bins[i + 1] - bins[i]))


def threshold(x: float) -> str:
    """A limit, drawn."""
    return f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{HEAD - 8}" y2="{HEIGHT - FOOT}"/>'
