"""Numbers as people read them; a number and its unit are not parted at a line's end."""

import math

MISSING = "–"
NO_BREAK = "\u00a0"
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def count(value: float | None) -> str:
    """A whole number with thousands separated: 12,345."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:,.0f}"


def short_count(value: float | None) -> str:
    """A count in three digits: 1.23 M."""
    if value is None or not math.isfinite(value):
        return MISSING
    for size, prefix in PREFIXES:
        if abs(value) >= size:
            return f"{three_digits(value / size)}{NO_BREAK}{prefix}"
    return f"{value:,.0f}"


def three_digits(value: float) -> str:
    """`value` with three significant digits and no exponent."""
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{decimals}f}"


def size(value: float | None) -> str:
    """A number of bytes in binary units."""
    if value is None or not math.isfinite(value):
        return MISSING
    for unit in UNITS:
        if abs(value) < 1024 or unit == UNITS[-1]:
            break
        value /= 1024
    return f"{value:,.0f}{NO_BREAK}{unit}" if unit == "B" else f"{three_digits(value)}{NO_BREAK}{unit}"


def percent(share: float | None) -> str:
    """A share between 0 and 1 as a percentage."""
    if share is None or not math.isfinite(share):
        return MISSING
    return "<0.1%" if 0 < share < 0.001 else f"{share:.1%}" if abs(share) < 0.9995 else f"{share:.0%}"


def duration(seconds: float | None) -> str:
    """A time span: 4.2 s, 3 min 5 s, 2 h 10 min."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 59.95:
        return f"{seconds:.1f}{NO_BREAK}s" if seconds < 9.95 else f"{seconds:.0f}{NO_BREAK}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NO_BREAK}min{NO_BREAK}{rest}{NO_BREAK}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}{NO_BREAK}h{NO_BREAK}{minutes}{NO_BREAK}min"


def figure(value: float | None) -> str:
    """Any other number: four significant digits, exponents only where the number is tiny or huge."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.2e}" if abs(value) < 1e-3 or abs(value) >= 1e9 else f"{value:,.4g}"
