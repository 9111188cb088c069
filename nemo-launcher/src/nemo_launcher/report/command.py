"""The command ``nemo-launcher report``: write the page of a run anew."""

from dataclasses import dataclass
from pathlib import Path

from ..settings import RunReference
from ..store import find_run
from . import render_run


@dataclass(frozen=True, kw_only=True)
class Written:
    """Where the page is."""

    report: Path


def run(settings: RunReference) -> Written:
    """Write ``report.html`` into the run's folder, finished or not. Raises UserError where there is no such run."""
    return Written(report=render_run(find_run(settings.run, Path.cwd()).path))
