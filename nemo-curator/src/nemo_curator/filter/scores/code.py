"""The scores of the rules for program text (NeMo Curator; StarCoder, Li et al. 2023)."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pyarrow as pa

from . import characters
from .comments import length_of_comments
from .registry import Scores, texts_of
from .resources import Resources

SCORES = {
    "comments": "share of characters in comments and docstrings; 0 where the source cannot be read",
    "xml_header": "1 where the first hundred characters hold an XML declaration",
    "visible_text": "share of an HTML page that is seen; 0 below 100 characters",
    "fits_extension": "1 where line lengths and characters are those of the file's language and extension",
}
HEADER_CHARACTERS = 100
LEAST_VISIBLE = 100
MAX_MEAN_LINE = 100
NAMES = {"C#": "c-sharp", "F#": "f-sharp"}


def compute(documents: pa.Table, resources: Resources) -> dict[str, Scores]:
    """Every score of the family; `fits_extension` only where the table has both columns that it needs."""
    texts = texts_of(documents)
    found = {
        "comments": np.array([comments(text, resources.comments_of) for text in texts], np.float64),
        "xml_header": np.array(["<?xml version=" in text[:HEADER_CHARACTERS] for text in texts], np.float64),
        "visible_text": np.array([visible(text) for text in texts], np.float64),
        "fits_extension": np.zeros(len(texts)),
    }
    wanted = (resources.language_column, resources.extension_column)
    if all(name in documents.column_names for name in wanted):
        languages, extensions = (documents[name].to_pylist() for name in wanted)
        found["fits_extension"] = fits(documents, languages, extensions)
    return found


def comments(source: str, language: str) -> float:
    """Share of characters in comments."""
    number = length_of_comments(source, language)
    return min(1.0, number / len(source)) if number and source else 0.0


class VisibleText(HTMLParser):
    """The characters of a page that are in neither scripts nor styles; blanks alone between tags count as one."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.length, self._hidden, self._spaced = 0, 0, 0
        self._between: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note that what follows is not seen, or is to keep its blanks."""
        self.count()
        self._hidden += tag in ("script", "style")
        self._spaced += tag in ("pre", "textarea")

    def handle_endtag(self, tag: str) -> None:
        """Note that what follows is seen again."""
        self.count()
        self._hidden -= tag in ("script", "style") and self._hidden > 0
        self._spaced -= tag in ("pre", "textarea") and self._spaced > 0

    def handle_data(self, data: str) -> None:
        """Keep what is between two tags."""
        self._between.append(data)

    def count(self) -> None:
        """Count what is seen of what was kept."""
        text = "".join(self._between)
        if not self._hidden:
            self.length += len(text) if self._spaced or text.strip() else min(len(text), 1)
        self._between.clear()


def visible(source: str) -> float:
    """Share of a page that is seen."""
    parser = VisibleText()
    parser.feed(source)
    parser.close()
    parser.count()
    return parser.length / len(source) if source and parser.length >= LEAST_VISIBLE else 0.0


@dataclass(frozen=True)
class Allowed:
    """What a file of one language and extension may have; None is no limit."""

    include: bool
    longest_line: float | None
    plain_characters: float | None
    letters: float | None


@cache
def table() -> dict[tuple[str, str], Allowed]:
    """StarCoder's table of languages and extensions."""
    text = (files(__package__) / "code_extensions.csv").read_text(encoding="utf-8")

    def number(value: str) -> float | None:
        return float(value) if value else None

    return {
        (row["language"], row["extension"]): Allowed(
            row["include"] == "1",
            number(row["longest_line"]),
            number(row["plain_characters"]),
            number(row["letters"]),
        )
        for row in csv.DictReader(text.splitlines())
    }


def fits(documents: pa.Table, languages: Sequence[str], extensions: Sequence[str]) -> Scores:
    """1 for every document within the limits of its language and extension; 0 for one that is not in the table."""
    scores = characters.compute(documents, Resources())
    out = np.zeros(documents.num_rows)
    for row, (language, extension) in enumerate(zip(languages, extensions, strict=True)):
        name = NAMES.get(language or "", (language or "").lower().replace(" ", "-"))
        allowed = table().get((name, (extension or "").lstrip(".")))
        out[row] = allowed is not None and allowed.include and within(allowed, {k: v[row] for k, v in scores.items()})
    return out


def within(allowed: Allowed, score: dict[str, float]) -> bool:
    """Whether a file's scores are within its limits."""
    if allowed.longest_line and (
        score["longest_line"] > allowed.longest_line or score["mean_line_length"] > MAX_MEAN_LINE
    ):
        return False
    if allowed.plain_characters and 1 - score["non_alphanumeric"] < allowed.plain_characters:
        return False
    return not (allowed.letters and score["alphabetic_characters"] < allowed.letters)
