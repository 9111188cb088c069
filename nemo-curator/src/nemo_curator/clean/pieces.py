"""Modifiers that take words, characters, sentences or comments out of a text, or put others in their place.

Those of data-juicer have nearly the same effect under the names there, given in the docstrings.
"""

import re
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from ..foundation.errors import ConfigError
from .modifiers import Rewriting

SENTENCE_END = re.compile(r"(?<=[.!?\u2026])(?=\s)|(?<=[.!?\u2026][\"'\u2019\u201d)])(?=\s)|(?<=[\u3002\uff01\uff1f])")
NOT_WORD = re.compile(r"[\W_]+")
SIGNS_AT_ENDS = re.compile(r"\A[\W_]+|[\W_]+\Z")
ODD_MARKS = "\u25c6\u25cf\u25a0\u25ba\u25bc\u25b2\u25b4\u2206\u25bb\u25b7\u2756\u2661\u25a1"
PUNCTUATION = str.maketrans(
    {
        **dict.fromkeys("\uff0c\u3001", ","),
        **dict.fromkeys("\u3002\uff0e", "."),
        **dict.fromkeys("\u201e\u201c\u201d\u00ab\u00bb\u300a\u300b\u300c\u300d\u300e\u300f\uff02", '"'),
        **dict.fromkeys("\u2018\u2019\u00b4\uff07", "'"),
        **dict.fromkeys("\u2236\uff1a", ":"),
        **dict.fromkeys("\u2010\u2011\u2013\u2212\u2501\uff0d", "-"),
        "\uff1b": ";",
        "\uff1f": "?",
        "\uff01": "!",
        "\uff08": "(",
        "\uff09": ")",
        "\u2014": " - ",
        "\u2026": "...",
        "\uff5e": "~",
        "\u3008": "<",
        "\u3009": ">",
        "\u3010": "[",
        "\u3011": "]",
        "\uff05": "%",
    }
)
SHEBANG = re.compile(r"#!.*\n")
COMMENT_BLOCK = re.compile(r"\s*/\*.*?\*/[ \t]*\n?|\s*(?:(?://|#|--|;;)[^\n]*(?:\n|\Z))+", re.DOTALL)
RIGHTS = re.compile(r"copyright|\(c\)\s|\u00a9|licen[sc]e|all rights reserved", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class RemoveRepeatedSentences(Rewriting):
    """Sentences that a text has said before go (remove_repeat_sentences_mapper).

    Compared are their letters and digits of any script. Unlike there a full stop within a number ends no sentence, and
    short ones, such as abbreviations, may repeat.
    """

    min_characters: Annotated[int, Meta(ge=1, description="letters and digits of a sentence that may not repeat")] = 20
    ignore_case: Annotated[bool, Meta(description="take upper and lower case for the same")] = True

    def rewrite(self, text: str) -> str:
        """The first of each sentence; lines stay where they are."""
        seen: set[str] = set()

        def is_new(sentence: str) -> bool:
            core = NOT_WORD.sub("", sentence.casefold() if self.ignore_case else sentence)
            repeated = len(core) >= self.min_characters and core in seen
            seen.add(core)
            return not repeated

        return "\n".join("".join(filter(is_new, SENTENCE_END.split(line))).strip(" ") for line in text.split("\n"))


@dataclass(frozen=True, kw_only=True)
class RemoveWords(Rewriting):
    """Words of other lengths, or with certain parts, go.

    These are remove_long_words_mapper and remove_words_with_incorrect_substrings_mapper, whose parts are ``http, www,
    .com, href, //``. A word is what stands between blanks; signs at its ends do not count.
    """

    shortest: Annotated[int, Meta(ge=0, description="characters that a word has at least")] = 0
    longest: Annotated[int | None, Meta(ge=1, description="characters that a word has at most")] = None
    containing: Annotated[list[str], Meta(description="parts that no word may have")] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not (self.shortest or self.longest or self.containing):
            raise ConfigError("says of no word that it goes; set shortest, longest or containing")

    def rewrite(self, text: str) -> str:
        """The other words, one blank between them; lines and tabs stay."""
        return "\n".join(
            "\t".join(" ".join(filter(self.stays, part.split(" "))) for part in line.split("\t"))
            for line in text.split("\n")
        )

    def stays(self, word: str) -> bool:
        """Whether a word is none of those to remove."""
        core = SIGNS_AT_ENDS.sub("", word)
        longest = len(word) if self.longest is None else self.longest
        fits = any(self.shortest <= len(each) <= longest for each in (word, core))
        return bool(word) and fits and not any(part in word for part in self.containing)


@dataclass(frozen=True, kw_only=True)
class RemoveCharacters(Rewriting):
    """Certain characters go (remove_specific_chars_mapper, with its list: marks that lists and advertisements use)."""

    characters: Annotated[str, Meta(min_length=1, description="characters that go")] = ODD_MARKS

    def rewrite(self, text: str) -> str:
        """The others."""
        return text.translate(dict.fromkeys(map(ord, self.characters)))


@dataclass(frozen=True, kw_only=True)
class NormalizePunctuation(Rewriting):
    """Typographic and East Asian punctuation becomes that of ASCII (punctuation_normalization_mapper).

    Unlike there a full-width one stays a digit, and single quotation marks and hyphens of all kinds are among it.
    """

    def rewrite(self, text: str) -> str:
        """The text with other marks."""
        return text if text.isascii() else text.translate(PUNCTUATION)


@dataclass(frozen=True, kw_only=True)
class ReplaceText(Rewriting):
    """What a regular expression finds is replaced (replace_content_mapper, where a dot is a newline, too)."""

    pattern: Annotated[str, Meta(min_length=1, description=r"Python's regular expression; (?s) lets . be a newline")]
    replacement: Annotated[str, Meta(description=r"what is written instead; \1 is the first group")] = ""

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern).sub(self.replacement, "")
        except (re.error, IndexError) as error:
            raise ConfigError(f"pattern={self.pattern!r} replacement={self.replacement!r}: {error}") from None

    def rewrite(self, text: str) -> str:
        """The text after all replacements."""
        return re.sub(self.pattern, self.replacement, text)


@dataclass(frozen=True, kw_only=True)
class RemoveCopyright(Rewriting):
    """A comment on copyright or licence at the top of a source file goes (clean_copyright_mapper, RedPajama's rule).

    Unlike there other comments stay, as do headings of Markdown and the line that names an interpreter.
    """

    def rewrite(self, text: str) -> str:
        """The source behind the comment."""
        shebang = SHEBANG.match(text)
        head = shebang[0] if shebang else ""
        comment = COMMENT_BLOCK.match(text, len(head))
        if comment is None or not RIGHTS.search(comment[0]):
            return text
        return head + text[comment.end() :].lstrip("\n")
