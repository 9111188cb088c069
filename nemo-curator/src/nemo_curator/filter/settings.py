"""Settings of the commands that filter documents."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from ..tables.settings import Passage
from .bitext import Bitext
from .c4_lines import C4Lines
from .thresholds import PresetName, Quality
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


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Settings of ``nemo-curator filters``."""

    preset: Annotated[PresetName | None, Meta(description="only the rules of this preset")] = None
