"""Modifiers: small steps that take away or unify one kind of thing in a text.

Each is a frozen dataclass with ``rewrite(text) -> text``; those of NeMo Curator have the same effect under their names
there, given in the docstrings.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol
from unicodedata import category

from msgspec import Meta

from ..foundation.errors import ConfigError
from .policies import POLICY_PHRASES

URL = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]{1,9}://|\bwww\.)[^\s<>\"\u201c\u201d\u00ab\u00bb\u3000-\u303f\uff00-\uff5e]+", re.IGNORECASE
)
URL_END = re.compile(r"[.,;:!?'\u2019\u2026]+\Z")
QUOTES = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u02b9\u00b4\uff07", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\u301d\u301e\uff02", '"'),
    }
)
SPACES = re.compile(r"[^\S\n]+")
BOLD = re.compile(r"(?<!\w)\*\*(?=\S)([^*\n]+?)(?<=\S)\*\*(?!\w)")
MARKDOWN = (
    (re.compile(r"^[ \t]*(?:```|~~~).*$\n?", re.MULTILINE), ""),
    (re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+(.*?)[ \t]*#*$", re.MULTILINE), r"\1"),
    (re.compile(r"^[ \t]{0,3}(?:[-*_][ \t]*){3,}$\n?", re.MULTILINE), ""),
    (re.compile(r"^[ \t]{0,3}(?:={3,}|-{3,})[ \t]*$\n?", re.MULTILINE), ""),
    (re.compile(r"^[ \t]{0,3}(?:>[ \t]?)+", re.MULTILINE), ""),
    (re.compile(r"!\[([^\]\n]*)\]\([^)\n]*\)"), r"\1"),
    (re.compile(r"\[([^\]\n]+)\]\([^)\n]*\)"), r"\1"),
    (re.compile(r"\[([^\]\n]+)\]\[[^\]\n]*\]"), r"\1"),
    (re.compile(r"^[ \t]{0,3}\[[^\]\n]+\]:[ \t]*\S+.*$\n?", re.MULTILINE), ""),
    (BOLD, r"\1"),
    (re.compile(r"(?<![\w*])(\*{1,3})(?=\S)([^*\n]+?)(?<=\S)\1(?![\w*])"), r"\2"),
    (BOLD, r"\1"),  # what had italics within
    (re.compile(r"(?<![\w_])(_{1,3})(?=\S)([^_\n]+?)(?<=\S)\1(?![\w_])"), r"\2"),
    (re.compile(r"~~(?=\S)([^~\n]+?)(?<=\S)~~"), r"\1"),
    (re.compile(r"(?<!`)(`{1,2})(?!`)([^`\n]+?)(?<!`)\1(?!`)"), r"\2"),
)
BOILERPLATE = (
    *POLICY_PHRASES,
    "all rights reserved",
    "copyright ©",
    "terms and conditions",
    "terms of service",
    "sign up for our newsletter",
    "subscribe to our newsletter",
)


class Modifier(Protocol):
    """Settings of a step that rewrites texts."""

    def rewrite(self, text: str) -> str:
        """The text as it is to be."""


@dataclass(frozen=True, kw_only=True)
class Rewriting:
    """What all modifiers have in common."""

    def rewrite(self, text: str) -> str:
        """The text as it is to be."""
        raise NotImplementedError

    def open(self) -> Callable[[Any], Any]:
        """The step as a function from a batch to its verdict."""
        from .rewrite import rewriting

        return rewriting(self.rewrite)


@dataclass(frozen=True, kw_only=True)
class NormalizeNewlines(Rewriting):
    """At most `longest` newlines in a row (NewlineNormalizer, which leaves carriage returns)."""

    longest: Annotated[int, Meta(ge=1, description="newlines in a row that are left")] = 2

    def rewrite(self, text: str) -> str:
        """Line ends become newlines, long runs of them become shorter."""
        plain = text.replace("\r\n", "\n").replace("\r", "\n")
        return re.sub(rf"\n{{{self.longest + 1},}}", "\n" * self.longest, plain)


@dataclass(frozen=True, kw_only=True)
class NormalizeWhitespace(Rewriting):
    """One blank between words, none at either end of a line."""

    def rewrite(self, text: str) -> str:
        """Runs of blanks become one."""
        return "\n".join(SPACES.sub(" ", line).strip() for line in text.split("\n"))


@dataclass(frozen=True, kw_only=True)
class RemoveUrls(Rewriting):
    """Web addresses go (UrlRemover), or `replacement` takes their place.

    UrlRemover also takes the marks and brackets that follow, up to the next blank.
    """

    replacement: Annotated[str, Meta(description="what is written instead")] = ""

    def rewrite(self, text: str) -> str:
        """A full stop or a bracket behind an address is not part of it."""

        def replaced(matched: re.Match[str]) -> str:
            address = matched[0]
            kept = URL_END.sub("", address)
            while kept.endswith(")") and kept.count(")") > kept.count("("):
                kept = URL_END.sub("", kept[:-1])
            return self.replacement + address[len(kept) :]

        return URL.sub(replaced, text)


@dataclass(frozen=True, kw_only=True)
class UnifyQuotes(Rewriting):
    """Typographic quotation marks and apostrophes become straight ones (QuotationUnifier)."""

    def rewrite(self, text: str) -> str:
        """Every kind of quotation mark."""
        return text if text.isascii() else text.translate(QUOTES)


@dataclass(frozen=True, kw_only=True)
class RemoveOuterQuotes(Rewriting):
    """A pair of quotation marks around a whole text goes (QuotationRemover).

    Unlike there it stays where there are further marks between: ``"one" and "two"`` is not one quotation.
    """

    def rewrite(self, text: str) -> str:
        """The text between the marks."""
        quoted = len(text) > 2 and text[0] == text[-1] == '"' and '"' not in text[1:-1]
        return text[1:-1].strip() if quoted else text


@dataclass(frozen=True, kw_only=True)
class RemoveMarkdown(Rewriting):
    """Markdown's signs go and their text stays (MarkdownRemover): headings, emphasis, links, quotes, code, rules.

    Unlike there a link leaves its text, not its address, and asterisks or underscores within words stay.
    """

    def rewrite(self, text: str) -> str:
        """Text without signs."""
        for pattern, kept in MARKDOWN:
            text = pattern.sub(kept, text)
        return text


@dataclass(frozen=True, kw_only=True)
class RemoveBoilerplate(Rewriting):
    """Paragraphs with boilerplate at the top or bottom of a text go (BoilerPlateStringModifier; C4's policy lines).

    Unlike there they go from both ends at once, a text of nothing else is left empty, and one with "lorem ipsum" stays:
    dropping that is the filters' part (``max_boilerplate_paragraphs``, ``max_lorem_ipsum``).
    """

    phrases: Annotated[list[str], Meta(description="what boilerplate contains, in lower case")] = field(
        default_factory=lambda: list(BOILERPLATE)
    )
    everywhere: Annotated[bool, Meta(description="remove such paragraphs in the middle of a text, too")] = False

    def rewrite(self, text: str) -> str:
        """The text between the first and the last paragraph without boilerplate."""
        paragraphs = re.split(r"\n{2,}", text)
        faulty = [any(phrase in paragraph.lower() for phrase in self.phrases) for paragraph in paragraphs]
        if not any(faulty):
            return text
        good = [index for index, bad in enumerate(faulty) if not bad]
        if not good:
            return ""
        kept = good if self.everywhere else range(good[0], good[-1] + 1)
        return "\n\n".join(paragraphs[index] for index in kept)


@dataclass(frozen=True, kw_only=True)
class RemoveLines(Rewriting):
    """Lines go that contain or equal one of the texts, or match the pattern (LineRemover, where blanks count)."""

    containing: Annotated[list[str], Meta(description="texts that a line to remove contains")] = field(
        default_factory=list
    )
    equal: Annotated[list[str], Meta(description="texts that a line to remove is, blanks around it not counted")] = (
        field(default_factory=list)
    )
    pattern: Annotated[str, Meta(description="regular expression that a line to remove contains")] = ""

    def __post_init__(self) -> None:
        if not (self.containing or self.equal or self.pattern):
            raise ConfigError("says of no line that it goes; set containing, equal or pattern")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ConfigError(f"pattern={self.pattern!r} is no regular expression: {error}") from None

    def rewrite(self, text: str) -> str:
        """The other lines."""
        return "\n".join(line for line in text.split("\n") if not self.goes(line))

    def goes(self, line: str) -> bool:
        """Whether a line is to be removed."""
        found = any(part in line for part in self.containing) or line.strip() in self.equal
        return found or bool(self.pattern and re.search(self.pattern, line))


@dataclass(frozen=True, kw_only=True)
class RemoveSymbolLines(Rewriting):
    """Lines of nothing but punctuation, symbols and blanks go (datatrove's SymbolLinesFormatter); empty lines stay.

    Every mark of Unicode counts; datatrove's list leaves out bullets and arrows, for two.
    """

    replacement: Annotated[str, Meta(description="a line in place of each run of them; empty is none")] = ""

    def rewrite(self, text: str) -> str:
        """The other lines."""
        kept: list[str] = []
        inside = False
        for line in text.splitlines():
            symbols = bool(line.strip()) and all(category(c)[0] in "PS" or c.isspace() for c in line)
            if not symbols:
                kept.append(line)
            elif self.replacement and not inside:
                kept.append(self.replacement)
            inside = symbols
        return "\n".join(kept)


@dataclass(frozen=True, kw_only=True)
class SliceText(Rewriting):
    """The part of a text between two places or marks stays (Slicer); a text without a mark stays whole on that side.

    Slicer's ``left`` and ``right`` are ``after`` and ``before`` with ``keep_marks=true last=true missing=empty``, or
    ``start`` and ``stop`` where they are numbers.
    """

    start: Annotated[int, Meta(description="first character kept; negative counts from the end")] = 0
    stop: Annotated[int | None, Meta(description="first character not kept")] = None
    after: Annotated[str, Meta(description="keep what follows the first of these marks")] = ""
    before: Annotated[str, Meta(description="keep what precedes the first of these marks behind that")] = ""
    keep_marks: Annotated[bool, Meta(description="keep the marks, too")] = False
    last: Annotated[bool, Meta(description="cut at the last `before` of the text, not at the first")] = False
    missing: Annotated[
        Literal["keep", "empty"], Meta(description="what is left of a text without a mark: it all, or nothing")
    ] = "keep"
    strip: Annotated[bool, Meta(description="remove blanks at both ends")] = True

    def rewrite(self, text: str) -> str:
        """The slice."""
        if self.missing == "empty" and not (self.after in text and self.before in text):
            return ""
        if self.after and (at := text.find(self.after)) >= 0:
            text = text[at + len(self.after) * (not self.keep_marks) :]
        skipped = len(self.after) if self.keep_marks and text.startswith(self.after) else 0
        at = text.rfind(self.before) if self.last else text.find(self.before, skipped)
        if self.before and at >= 0:
            text = text[: at + len(self.before) * self.keep_marks]
        kept = text[self.start : self.stop]
        return kept.strip() if self.strip else kept
