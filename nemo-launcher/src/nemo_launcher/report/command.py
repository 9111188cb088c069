"""The command ``nemo-launcher report``: write the page of a run anew."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from . import render_run


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Which run to report on."""

    run: Annotated[Path, Meta(description="run folder, finished or not")]


@dataclass(frozen=True, kw_only=True)
class Written:
    """Where the page is."""

    report: Path


def run(settings: ReportSettings) -> Written:
    """Write ``report.html`` into the run folder. Raises InputError where that is no run folder."""
    return Written(report=render_run(settings.run))
