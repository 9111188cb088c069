"""``nemo-curator report``: the page of an artifact drawn anew, from the figures in its manifest."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..foundation import artifact
from ..foundation.atomic import write_text
from ..foundation.errors import ConfigError
from ..recipe import Report
from . import duplicates
from .page import render

EMPTY: dict[str, Any] = {"examples": {}, "languages": {}, "histograms": {}}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Where the page is."""

    report: Path


def run(settings: Report) -> Drawn:
    """Write the page beside the artifact, whose own files stay as they are. Raises ConfigError where one is there."""
    page = settings.output or settings.documents.absolute().with_name(f"{settings.documents.absolute().name}.html")
    if page.exists() and not settings.overwrite:
        raise ConfigError(f"{page}: exists already; name another output, or say overwrite=true to replace it")
    manifest = artifact.read(settings.documents, "documents")
    if "funnel" not in manifest.stats:
        raise ConfigError(f"documents={settings.documents}: its manifest has no figures to draw (stats.funnel)")
    stats = {**EMPTY, **manifest.stats}
    if "duplicate_groups" not in stats:
        stats["duplicate_groups"] = duplicates.groups(settings.documents)
    write_text(page, render(stats, {"pipeline": [], **manifest.config}))
    return Drawn(report=page)
