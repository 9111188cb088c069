"""Pieces of the report: rows with bars, and histograms as SVG."""

from collections.abc import Sequence
from html import escape

from ..filter.histograms import edges

WIDTH, HEIGHT, FOOT = 240, 78, 14


def number(value: float) -> str:
    """A count with thousands parted."""
    return f"{value:,.0f}"


def size(num_bytes: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def words(name: str) -> str:
    """An identifier as words."""
    return escape(name.replace("_", " "))


def figure(value: str, about: str) -> str:
    """One large figure."""
    return f'<div class="figure"><b>{escape(value)}</b><span>{escape(about)}</span></div>'


def row(name: str, parts: Sequence[tuple[str, float]], note: str, *, whole: float) -> str:
    """A name, a bar of coloured parts out of `whole`, and a note."""
    bars = "".join(
        f'<i class="{colour}" style="width:{100 * part / whole if whole else 0:.2f}%"></i>' for colour, part in parts
    )
    return (
        f'<div class="row"><span class="name">{words(name)}</span><span class="bar">{bars}</span>'
        f'<span class="number">{escape(note)}</span></div>'
    )


def histogram(score: str, counts: Sequence[int], *, low: float | None, high: float | None) -> str:
    """Distribution of a score.

    Heights go by the square root so that rare values show; bins that a limit cuts off are in the colour of drops.
    """
    bins = edges(score)
    tallest = max(counts, default=0) or 1
    step = WIDTH / len(counts)
    bars = []
    for i, tall in enumerate(counts):
        outside = (low is not None and bins[i + 1] <= low) or (high is not None and bins[i] >= high)
        height = (HEIGHT - FOOT) * (tall / tallest) ** 0.5
        if tall:
            height = max(height, 1.5)
        bars.append(
            f'<rect class="{"out" if outside else "in"}" x="{i * step + 0.5:.1f}" y="{HEIGHT - FOOT - height:.1f}" '
            f'width="{step - 1:.1f}" height="{height:.1f}"><title>{bins[i]:.3g} to {bins[i + 1]:.3g}: {tall:,}</title>'
            "</rect>"
        )
    limits = ", ".join(
        f"{name} {limit:g}" for name, limit in (("at least", low), ("at most", high)) if limit is not None
    )
    return (
        f"<figure><figcaption>{words(score)} <small>{limits}</small></figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="distribution of {words(score)}">{"".join(bars)}'
        f'<line x1="0" x2="{WIDTH}" y1="{HEIGHT - FOOT}" y2="{HEIGHT - FOOT}"/>'
        f'<text x="0" y="{HEIGHT - 3}">{max(bins[0], 0):g}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 3}" text-anchor="end">{bins[-1]:g}</text></svg></figure>'
    )
