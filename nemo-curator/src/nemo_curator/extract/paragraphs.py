"""Paragraphs of an extracted text that read like language: NeMo Curator's required share of stop words."""

from collections.abc import Callable

from ..language.stop_words import justext_stop_words

WITHOUT_WORDS = frozenset(("ja", "ko", "th", "zh"))  # words and stop words are not told by blanks, so nothing is asked


def keeper(language: str, least: float) -> Callable[[str], str]:
    """A function that keeps the lines of a text of which at least this share of words, as they stand, are stop words.

    In Chinese, Japanese, Korean and Thai it keeps everything. Raises ConfigError for a language without a list.
    """
    if least <= 0 or language in WITHOUT_WORDS:
        return lambda text: text
    listed = justext_stop_words(language)

    def keep(text: str) -> str:
        lines = [(line, line.split()) for line in text.split("\n")]
        kept = [line for line, words in lines if words and sum(w in listed for w in words) >= least * len(words)]
        return "\n".join(kept)

    return keep
