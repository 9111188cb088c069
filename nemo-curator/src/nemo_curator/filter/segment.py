"""Words of scripts that do not part them with blanks: each character, or what a dictionary says; decision note 0050.

What comes out is the text with a blank between such words, for scores to count; documents stay as they are.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from unicodedata import category

from ..foundation.backend import Backend, load_backend

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA = "\u3041-\u309f\u30a1-\u30ff\u31f0-\u31ff\uff66-\uff9f"
RUNS = re.compile(
    f"(?P<zh>[{HAN}{KANA}]+)|(?P<th>[\u0e01-\u0e3a\u0e40-\u0e5b]+)"
    "|(?P<lo>[\u0e81-\u0edf]+)|(?P<my>[\u1000-\u109f]+)|(?P<km>[\u1780-\u17ff]+)"
)
JAPANESE = re.compile(f"[{KANA}]")
BACKENDS = {
    code: Backend(module=f"nemo_curator.filter.segmenters.{name}", extra="segment")
    for code, name in {"zh": "chinese", "ja": "japanese", "th": "thai"}.items()
}
Cut = Callable[[str], Sequence[str]]


def segmented(texts: Sequence[str], by: str) -> list[str]:
    """The texts with blanks between words, `by` "characters" or "dictionary".

    Raises MissingBackend where a dictionary of a script that occurs is not installed.
    """
    return [segment(text, by) if not text.isascii() and RUNS.search(text) else text for text in texts]


def segment(text: str, by: str) -> str:
    """One text with blanks between words; signs stay with the word before, opening ones with the word behind."""
    japanese = JAPANESE.search(text) is not None

    def cut(run: re.Match[str]) -> str:
        language = "ja" if run.lastgroup == "zh" and japanese else str(run.lastgroup)
        words = dictionary(language)(run[0]) if by == "dictionary" and language in BACKENDS else characters(run[0])
        before, behind = text[run.start() - 1 : run.start()], text[run.end() : run.end() + 1]
        return " " * (not opens(before)) + " ".join(words) + " " * (behind.isalnum() or opens(behind))

    return RUNS.sub(cut, text)


def opens(character: str) -> bool:
    """Whether it is an opening bracket or quotation mark."""
    return bool(character) and category(character) in ("Ps", "Pi")


def characters(run: str) -> list[str]:
    """Each character with the marks that belong to it."""
    found: list[str] = []
    for character in run:
        if found and category(character)[0] == "M":
            found[-1] += character
        else:
            found.append(character)
    return found


@cache
def dictionary(language: str) -> Cut:
    """The function that cuts a run of this language into words."""
    cut: Cut = load_backend("segmenter", language, BACKENDS, package="nemo-curator").cut
    return cut
