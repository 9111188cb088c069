"""Extraction with resiliparse (Bevendorff et al. 2018): the fastest, and part of the plain install."""

from collections.abc import Callable

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from .html import Extract


def open(settings: Extract) -> Callable[[str], tuple[str, str]]:
    """A function from a page to its text and title."""

    def extract(page: str) -> tuple[str, str]:
        tree = HTMLTree.parse(page)
        text = extract_plain_text(
            tree, main_content=settings.main_content, links=settings.links, alt_texts=settings.alt_texts
        )
        return text, tree.title or ""

    return extract
