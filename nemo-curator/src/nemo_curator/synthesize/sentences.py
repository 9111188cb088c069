"""The sentence that says what a document is about."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

SENTENCE = re.compile(r"^(.+?[.!?])(?=\s+[A-Z\"'(\u2018\u201c]|\s*$)", re.DOTALL)
ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|cf|vs|Dr|Mr|Mrs|St|No|approx)\.$", re.IGNORECASE)
SIGNATURE = re.compile(r"^[\w.]+\(.*\)(\s*->.*)?$")
MARKS = str.maketrans("", "", "`*")
PAIRS = (("(", ")"), ("[", "]"), ("{", "}"))
COMPLETED_WORDS = 4


@dataclass(frozen=True)
class Lead:
    """The first sentence of a document, or the fault that makes it useless as an answer."""

    sentence: str
    fault: str | None = None


def leads_of(text: str, title: str, *, min_words: int, max_words: int) -> Iterator[Lead]:
    """The first sentence of each paragraph behind the title, cleaned; one lead with a fault where there is none."""
    prose = [p for p in paragraphs(text) if not same(p, title) and not SIGNATURE.match(p)]
    if not prose:
        yield Lead("", "no_prose")
    for paragraph in prose:
        sentence = first_sentence(" ".join(paragraph.translate(MARKS).split()))
        yield Lead(sentence, fault_of(sentence, min_words=min_words, max_words=max_words))


def paragraphs(text: str) -> list[str]:
    """Blocks of lines between blank ones."""
    return [block.strip() for block in re.split(r"\n\s*\n", text) if block.strip()]


def same(first: str, second: str) -> bool:
    """Whether two strings have the same words."""
    return first.casefold().split() == second.casefold().split()


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence; all of `text`, with a full stop, where there is none."""
    end = 0
    while found := SENTENCE.match(text[end:]):
        end += found.end()
        if not ABBREVIATION.search(text[:end]):
            return text[:end]
    return f"{text.rstrip(' ,;:.')}."


def fault_of(sentence: str, *, min_words: int, max_words: int) -> str | None:
    """Why a sentence is no good answer; None where it is one."""
    words = len(sentence.split())
    if words < min_words:
        return "lead_too_short"
    if words > max_words:
        return "lead_too_long"
    if any(sentence.count(left) != sentence.count(right) for left, right in PAIRS) or sentence.count('"') % 2:
        return "lead_unbalanced"
    letters = sum(c.isalpha() or c.isspace() for c in sentence)
    if letters < 0.8 * len(sentence) or not sentence[0].isalnum():
        return "lead_not_prose"
    return None


def name_subject(sentence: str, title: str) -> str:
    """The sentence, with its subject named in front where it does not name it itself."""
    if sentence.casefold().startswith(title.casefold()):
        return sentence
    return f"{title}: {sentence[0].upper()}{sentence[1:]}"


def beginning(sentence: str) -> str:
    """The first words of a sentence, to be completed."""
    return " ".join(sentence.split()[:COMPLETED_WORDS])
