"""Charts as pure functions: values in, SVG out. They stretch with the page while their text keeps its size."""

from .bars import Part, bar
from .line import Line, line_chart

__all__ = ["Line", "Part", "bar", "line_chart"]
