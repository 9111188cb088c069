"""The bitext step: pairs of sentences that can be translations of each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from ..foundation.errors import ConfigError, InputError


@dataclass(frozen=True, kw_only=True)
class Bitext:
    """The bitext step: drop pairs whose lengths, alphabets or alignment scores do not fit."""

    source_column: Annotated[str, Meta(description="column of the sentence in the one language")] = "text"
    target_column: Annotated[str, Meta(description="column of the sentence in the other")] = "translation"
    max_length_ratio: Annotated[
        Annotated[float, Meta(ge=1)] | None,
        Meta(description="most words of one by words of the other (Moses, NeMo Curator: 3)"),
    ] = 3.0
    max_words: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="most words of either (Moses' clean-corpus: 80)")
    ] = None
    source_histogram: Annotated[Path | None, Meta(description="file of the characters of the one language")] = None
    target_histogram: Annotated[Path | None, Meta(description="file of the characters of the other")] = None
    min_known_characters: Annotated[
        float, Meta(ge=0, le=1, description="least share of characters in the histogram (NLLB: 0.8)")
    ] = 0.8
    alignment_column: Annotated[str | None, Meta(description="column of alignment or quality scores")] = None
    min_alignment: Annotated[float, Meta(description="least such score")] = 0.0

    def open(self) -> Callable[[Any], Any]:
        """The step as a function from a batch to its verdict."""
        import pyarrow as pa

        from ..document import Verdict

        histograms = [read_histogram(p) if p else None for p in (self.source_histogram, self.target_histogram)]

        def step(documents: Any) -> Any:
            names = [self.source_column, self.target_column, *filter(None, [self.alignment_column])]
            missing = [name for name in names if name not in documents.column_names]
            if missing:
                raise InputError(f"bitext: no column {missing[0]!r}; there are {', '.join(documents.column_names)}")
            pairs = zip(*(documents[name].to_pylist() for name in names), strict=True)
            found = [fault(pair, self, histograms) for pair in pairs]
            return Verdict(
                documents=documents,
                reason=pa.array([reason for reason, _ in found], pa.string()),
                detail=pa.array([detail for _, detail in found], pa.string()),
            )

        return step


def fault(pair: Sequence[Any], settings: Bitext, histograms: Sequence[frozenset[str] | None]) -> tuple[str | None, str]:
    """Why a pair is dropped, and the figure; None where it stays."""
    source, target = pair[0] or "", pair[1] or ""
    words = len(source.split()), len(target.split())
    if not all(words):
        return "untranslated", f"{words[0]} and {words[1]} words"
    ratio = max(words) / min(words)
    if settings.max_length_ratio is not None and ratio > settings.max_length_ratio:
        return "lengths_do_not_match", f"length ratio {ratio:.3g}, max {settings.max_length_ratio:g}"
    if settings.max_words is not None and max(words) > settings.max_words:
        return "sentence_too_long", f"{max(words)} words, max {settings.max_words}"
    for name, text, known in zip(("source", "target"), (source, target), histograms, strict=True):
        share = known_share(text, known) if known else 1.0
        if share < settings.min_known_characters:
            return f"{name}_in_another_language", f"known characters {share:.3g}, min {settings.min_known_characters:g}"
    if settings.alignment_column and not (pair[2] is not None and pair[2] >= settings.min_alignment):
        return "poorly_aligned", f"{settings.alignment_column} {pair[2]}, min {settings.min_alignment:g}"
    return None, ""


def known_share(text: str, known: frozenset[str]) -> float:
    """Share of the characters of a text that a histogram knows (NLLB, appendix; fairseq's clean_histogram)."""
    stripped = text.strip()
    return sum(character in known for character in stripped) / len(text) if text else 0.0


def read_histogram(path: Path) -> frozenset[str]:
    """The characters of a histogram file as NLLB publishes them: one a line, up to a line that begins with "]"."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a histogram of characters ({error})") from None
    known: set[str] = set()
    for line in lines:
        if line.startswith("]"):
            break
        known.update(line[:1])
    if not known:
        raise ConfigError(f"{path}: holds no character; a histogram has one a line")
    return frozenset(known)
