"""From values to places on a chart, with ticks at round numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..figures import three_digits

NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
LARGEST = 1e100
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A range of values and its ticks; `place` maps the range onto 0..1."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Where `value` lies between the ends, as a share."""
        return (value - self.low) / (self.high - self.low)


def drawable(value: float) -> bool:
    """Whether a chart can show `value`: finite, and not so large that its range overflows."""
    return math.isfinite(value) and abs(value) <= LARGEST


def span(values: Iterable[float]) -> tuple[float, float]:
    """Least and greatest value, spread apart where they are equal. Needs one value at least."""
    known = list(values)
    low, high = min(known), max(known)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        margin = abs(low) * 0.1 or 1.0
        return low - margin, high + margin
    return low, high


def nice_step(length: float, *, parts: int) -> float:
    """The round number (1, 2, 2.5 or 5 times a power of ten) that cuts `length` into `parts` pieces or fewer."""
    raw = length / parts
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor for factor in NICE if factor * power >= raw * (1 - 1e-9)) * power


def nice_scale(values: Iterable[float], *, parts: int = 4) -> Scale:
    """A scale whose ends are ticks, so that no line leaves the frame."""
    low, high = span(values)
    step = nice_step(high - low, parts=parts)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(index * step for index in range(first, last + 1))
    return Scale(low=ticks[0], high=ticks[-1], ticks=ticks)


def step_scale(values: Iterable[float], *, parts: int = 5) -> Scale:
    """A scale of training steps: it ends where the data ends, with whole numbers as ticks."""
    low, high = span(values)
    step = max(1.0, nice_step(high - low, parts=parts))
    step = step * 2 if step % 1 else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Scale(low=low, high=high, ticks=tuple(index * step for index in range(first, last + 1)))


def tick_labels(scale: Scale, *, share: bool = False) -> list[str]:
    """The ticks in words, all with as many decimals as the step between them needs; shares as percentages."""
    if share:
        hundredfold = Scale(low=100 * scale.low, high=100 * scale.high, ticks=tuple(100 * tick for tick in scale.ticks))
        return [f"{label}%" for label in tick_labels(hundredfold)]
    step = scale.ticks[1] - scale.ticks[0] if len(scale.ticks) > 1 else abs(scale.high - scale.low)
    largest = max(map(abs, scale.ticks), default=0.0)
    if largest >= 1e15 or 0 < largest < 1e-2:
        return ["0" if tick == 0 else f"{tick:.1e}".replace(".0e", "e").replace("e-0", "e-") for tick in scale.ticks]
    if largest >= 10_000:
        return [_with_prefix(tick) for tick in scale.ticks]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    decimals += 0 if math.isclose(round(step, decimals), step, rel_tol=1e-6) else 1
    return [f"{tick:,.{decimals}f}" for tick in scale.ticks]


def _with_prefix(value: float) -> str:
    for size, prefix in PREFIXES:
        if abs(value) >= size:
            digits = three_digits(value / size)
            return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}{prefix}"
    return f"{value:g}"
