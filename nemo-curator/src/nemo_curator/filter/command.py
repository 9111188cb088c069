"""``nemo-curator filter``: score documents, and drop those beyond limits."""

from dataclasses import dataclass

from ..curation import Curated
from ..tables import passage
from ..tables.settings import Passage
from .bitext import Bitext
from .c4_lines import C4Lines
from .thresholds import Quality
from .urls import Urls


@dataclass(frozen=True, kw_only=True)
class Filter(Quality, Passage):
    """Settings of ``nemo-curator filter``."""


@dataclass(frozen=True, kw_only=True)
class FilterLines(C4Lines, Passage):
    """Settings of ``nemo-curator filter-lines``."""


@dataclass(frozen=True, kw_only=True)
class FilterUrls(Urls, Passage):
    """Settings of ``nemo-curator filter-urls``."""


@dataclass(frozen=True, kw_only=True)
class FilterBitext(Bitext, Passage):
    """Settings of ``nemo-curator filter-bitext``."""


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
