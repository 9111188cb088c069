"""Extraction with trafilatura (Barbaresi 2021), which weighs several methods against each other.

NeMo Curator also has it leave out what earlier pages of the same process had (``deduplicate``). Not here: what is kept
of a page would depend on which pages a worker saw before; ``dedup spans`` does that, the same for any order.
"""

from collections.abc import Callable

from trafilatura import extract as extract_text
from trafilatura.metadata import extract_metadata

from .html import Extract


def open(settings: Extract) -> Callable[[str], tuple[str, str]]:
    """A function from a page to its text and title."""

    def extract(page: str) -> tuple[str, str]:
        text = extract_text(
            page,
            include_links=settings.links,
            include_images=settings.alt_texts,
            include_comments=not settings.main_content,
            favor_recall=not settings.main_content,
        )
        about = extract_metadata(page)
        return text or "", (about.title if about else None) or ""

    return extract
