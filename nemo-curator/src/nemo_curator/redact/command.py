"""``nemo-curator redact``: replace personal data and secrets."""

from dataclasses import dataclass

from ..curation import Curated
from ..tables import passage
from ..tables.settings import Passage
from .settings import Redact


@dataclass(frozen=True, kw_only=True)
class RedactDocuments(Redact, Passage):
    """Settings of ``nemo-curator redact``."""


def run(settings: RedactDocuments) -> Curated:
    """Pass the documents through the redact step."""
    return passage.run(settings, [passage.command_step(settings, "redact")])
