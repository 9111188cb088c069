"""The lines of a page that C4 keeps, and what it drops a whole page for (Raffel et al. 2020, section 2.2)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
END_MARKS = (".", "?", "!", '"', "'")
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
SENTENCE_END = re.compile("[.!?\u2026\u3002\uff01\uff1f\u0964\u06d4\u061f]+[\"'\u2019\u201d)\\]]*(?=\\s|$)")


@dataclass(frozen=True, kw_only=True)
class C4Lines:
    """The c4_lines step: keep the lines that C4 keeps, drop the pages that it drops."""

    end_marks: Annotated[bool, Meta(description="keep only lines that end with . ? ! or a quote")] = True
    min_words: Annotated[int, Meta(ge=0, description="fewest words of a line")] = 3
    max_word_length: Annotated[int, Meta(ge=1, description="most characters of a word of a line")] = 1000
    citations: Annotated[bool, Meta(description="remove [1], [edit] and [citation needed]")] = True
    javascript: Annotated[bool, Meta(description="remove lines that mention javascript")] = True
    policies: Annotated[bool, Meta(description="remove lines about cookies, terms of use and privacy")] = True
    placeholder_text: Annotated[bool, Meta(description="drop pages with lorem ipsum")] = True
    curly_brackets: Annotated[bool, Meta(description="drop pages with a curly bracket")] = True
    min_sentences: Annotated[int, Meta(ge=0, description="fewest sentences of what is left; fewer drop the page")] = 5

    def open(self) -> Callable[[Any], Any]:
        """The step as a function from a batch to its verdict."""
        import pyarrow as pa

        from ..document import Verdict, set_column

        def step(documents: Any) -> Any:
            pages = [look(text, self) for text in documents["text"].to_pylist()]
            faults = [page.fault(self) for page in pages]
            texts = [
                text if fault else "\n".join(page.kept)
                for text, page, fault in zip(documents["text"].to_pylist(), pages, faults, strict=True)
            ]
            return Verdict(
                documents=set_column(documents, "text", pa.array(texts, documents["text"].type)),
                reason=pa.array(faults, pa.string()),
                detail=pa.array([f"{page.sentences} sentences in {len(page.kept)} lines" for page in pages]),
            )

        return step


@dataclass
class Page:
    """What C4's rules see of a page."""

    kept: list[str]
    sentences: int = 0
    placeholders: int = 0
    brackets: int = 0

    def fault(self, settings: C4Lines) -> str | None:
        """Why C4 drops the page; None where it keeps what is left."""
        if settings.placeholder_text and self.placeholders:
            return "placeholder_text"
        if settings.curly_brackets and self.brackets:
            return "curly_brackets"
        if self.sentences < settings.min_sentences:
            return "too_few_sentences"
        return None if self.kept else "no_line_left"


def look(text: str, settings: C4Lines) -> Page:
    """The page's lines that stay, and the figures that decide about the whole of it."""
    page = Page([])
    for raw in text.splitlines():
        line = clean(raw.strip(), settings)
        if line is None:
            continue
        lowered = line.lower()
        page.placeholders += "lorem ipsum" in lowered
        if settings.javascript and "javascript" in lowered:
            continue
        page.brackets += "{" in line
        if settings.policies and any(phrase in lowered for phrase in POLICIES):
            continue
        page.sentences += max(1, len(SENTENCE_END.findall(line)))
        page.kept.append(line)
    return page


def clean(line: str, settings: C4Lines) -> str | None:
    """The line without citations; None where its form rules it out."""
    words = line.split()
    if any(len(word) > settings.max_word_length for word in words):
        return None
    if settings.citations and "[" in line:
        line = CITATION.sub("", line)
    if settings.end_marks and (not line.endswith(END_MARKS) or line.endswith("...")):
        return None
    return line if len(words) >= settings.min_words and line else None
