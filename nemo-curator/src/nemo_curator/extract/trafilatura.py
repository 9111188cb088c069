"""Extraction with trafilatura (Barbaresi 2021), which weighs several methods against each other."""

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
