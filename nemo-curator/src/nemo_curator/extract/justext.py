"""Extraction with jusText (Pomikálek 2011): paragraphs kept by length, links and stop words, as in NeMo Curator."""

from collections.abc import Callable
from dataclasses import asdict

import justext
from resiliparse.parse.html import HTMLTree

from ..language.stop_words import justext_stop_words
from .html import Extract
from .paragraphs import WITHOUT_WORDS


def open(settings: Extract) -> Callable[[str], tuple[str, str]]:
    """A function from a page to its text and title."""
    words, limits = justext_stop_words(settings.language), asdict(settings.justext)
    all_of_it = not settings.main_content or settings.language in WITHOUT_WORDS

    def extract(page: str) -> tuple[str, str]:
        try:
            paragraphs = justext.justext(page, words, **limits) if page.strip() else []
        except (ValueError, justext.core.JustextError):  # a page without an element, or one that lxml refuses
            paragraphs = []
        kept = [p.text for p in paragraphs if all_of_it or not p.is_boilerplate]
        return "\n\n".join(kept), HTMLTree.parse(page).title or ""

    return extract
