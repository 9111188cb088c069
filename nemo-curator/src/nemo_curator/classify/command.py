"""``nemo-curator classify`` and ``fasttext``: documents with what a trained classifier says of them."""

from dataclasses import dataclass

from ..curation import Curated
from ..tables import passage
from ..tables.settings import Passage
from .settings import Classify, FastText


@dataclass(frozen=True, kw_only=True)
class ClassifyDocuments(Classify, Passage):
    """Settings of ``nemo-curator classify``."""


@dataclass(frozen=True, kw_only=True)
class ScoreWithFastText(FastText, Passage):
    """Settings of ``nemo-curator fasttext``."""


def run(settings: ClassifyDocuments) -> Curated:
    """Pass the documents through a sequence classifier."""
    return passage.run(settings, [passage.command_step(settings, "classify")])


def run_fasttext(settings: ScoreWithFastText) -> Curated:
    """Pass the documents through a fastText model."""
    return passage.run(settings, [passage.command_step(settings, "fasttext")])
