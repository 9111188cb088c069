"""``nemo-curator redact``: replace personal data and secrets."""

from ..curation import Curated
from ..tables import passage
from .settings import RedactDocuments


def run(settings: RedactDocuments) -> Curated:
    """Pass the documents through the redact step."""
    return passage.run(settings, [passage.command_step(settings, "redact")])
