"""``nemo-curator classify`` and ``fasttext``: documents with what a trained classifier says of them."""

from ..curation import Curated
from ..tables import passage
from .settings import ClassifyDocuments, ScoreWithFastText


def run(settings: ClassifyDocuments) -> Curated:
    """Pass the documents through a sequence classifier."""
    return passage.run(settings, [passage.command_step(settings, "classify")])


def run_fasttext(settings: ScoreWithFastText) -> Curated:
    """Pass the documents through a fastText model."""
    return passage.run(settings, [passage.command_step(settings, "fasttext")])
