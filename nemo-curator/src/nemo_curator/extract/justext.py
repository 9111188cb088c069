"""Extraction with jusText (Pomikálek 2011): paragraphs kept by length, links and stop words, as NeMo Curator sets it.

Thresholds: stop words 0.30 and 0.32, link density 0.2, lengths 70 and 200 characters, headings within 200.
"""

from collections.abc import Callable
from functools import cache

import justext
from resiliparse.parse.html import HTMLTree

from ..foundation.errors import ConfigError
from .html import Extract

NAMES = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "ca": "Catalan",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ko": "Korean",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sq": "Albanian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
}


@cache
def stop_words(language: str) -> frozenset[str]:
    """JusText's stop words of a language. Raises ConfigError where it has none."""
    name = NAMES.get(language)
    if name is None or name not in justext.get_stoplists():
        known = ", ".join(sorted(code for code, each in NAMES.items() if each in justext.get_stoplists()))
        raise ConfigError(f"extract.language={language}: jusText has no stop words for it; it has {known}")
    return frozenset(justext.get_stoplist(name))


def open(settings: Extract) -> Callable[[str], tuple[str, str]]:
    """A function from a page to its text and title."""
    words = stop_words(settings.language)

    def extract(page: str) -> tuple[str, str]:
        try:
            paragraphs = justext.justext(page, words, max_heading_distance=200) if page.strip() else []
        except (ValueError, justext.core.JustextError):  # a page without an element, or one that lxml refuses
            paragraphs = []
        kept = [p.text for p in paragraphs if not (p.is_boilerplate and settings.main_content)]
        return "\n\n".join(kept), HTMLTree.parse(page).title or ""

    return extract
