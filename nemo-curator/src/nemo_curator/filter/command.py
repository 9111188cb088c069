"""``nemo-curator filter`` and its sisters: score documents, and drop those beyond limits or on lists."""

from ..curation import Curated
from ..tables import passage
from .settings import Filter, FilterBitext, FilterLines, FilterUrls


def run(settings: Filter) -> Curated:
    """Pass the documents through the quality step."""
    return passage.run(settings, [passage.command_step(settings, "quality")])


def run_lines(settings: FilterLines) -> Curated:
    """Pass the documents through C4's line rules."""
    return passage.run(settings, [passage.command_step(settings, "c4_lines")])


def run_urls(settings: FilterUrls) -> Curated:
    """Pass the documents through the lists of addresses."""
    return passage.run(settings, [passage.command_step(settings, "urls")])


def run_bitext(settings: FilterBitext) -> Curated:
    """Pass pairs of sentences through the bitext rules."""
    return passage.run(settings, [passage.command_step(settings, "bitext")])
