"""A pipeline: the steps that documents pass, named and configured as in a recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .foundation.command import resolve
from .foundation.errors import ConfigError
from .foundation.settings import Sourced, convert, did_you_mean, to_plain

STEPS = {
    "extract": "nemo_curator.extract.html:Extract",
    "repair": "nemo_curator.clean.repair:Repair",
    "normalize_newlines": "nemo_curator.clean.modifiers:NormalizeNewlines",
    "normalize_whitespace": "nemo_curator.clean.modifiers:NormalizeWhitespace",
    "remove_urls": "nemo_curator.clean.modifiers:RemoveUrls",
    "unify_quotes": "nemo_curator.clean.modifiers:UnifyQuotes",
    "remove_outer_quotes": "nemo_curator.clean.modifiers:RemoveOuterQuotes",
    "remove_markdown": "nemo_curator.clean.modifiers:RemoveMarkdown",
    "remove_boilerplate": "nemo_curator.clean.modifiers:RemoveBoilerplate",
    "remove_lines": "nemo_curator.clean.modifiers:RemoveLines",
    "remove_symbol_lines": "nemo_curator.clean.modifiers:RemoveSymbolLines",
    "slice_text": "nemo_curator.clean.modifiers:SliceText",
    "remove_repeated_sentences": "nemo_curator.clean.pieces:RemoveRepeatedSentences",
    "remove_words": "nemo_curator.clean.pieces:RemoveWords",
    "remove_characters": "nemo_curator.clean.pieces:RemoveCharacters",
    "remove_copyright": "nemo_curator.clean.pieces:RemoveCopyright",
    "normalize_punctuation": "nemo_curator.clean.pieces:NormalizePunctuation",
    "replace_text": "nemo_curator.clean.pieces:ReplaceText",
    "language": "nemo_curator.language.identify:Language",
    "quality": "nemo_curator.filter.thresholds:Quality",
    "c4_lines": "nemo_curator.filter.c4_lines:C4Lines",
    "urls": "nemo_curator.filter.urls:Urls",
    "contains": "nemo_curator.filter.contains:Contains",
    "bitext": "nemo_curator.filter.bitext:Bitext",
    "classify": "nemo_curator.classify.settings:Classify",
    "fasttext": "nemo_curator.classify.settings:FastText",
    "redact": "nemo_curator.redact.settings:Redact",
    "decontaminate": "nemo_curator.decontaminate.settings:Decontaminate",
    "exact_dedup": "nemo_curator.dedup.settings:ExactDedup",
    "fuzzy_dedup": "nemo_curator.dedup.settings:FuzzyDedup",
    "span_dedup": "nemo_curator.dedup.span_settings:SpanDedup",
    "substring_dedup": "nemo_curator.dedup.span_settings:SubstringDedup",
    "seen_dedup": "nemo_curator.dedup.seen_settings:SeenDedup",
    "semantic_dedup": "nemo_curator.dedup.semantic_settings:SemanticDedup",
}
DEDUPLICATION = ("exact_dedup", "fuzzy_dedup", "span_dedup", "substring_dedup", "seen_dedup", "semantic_dedup")
DEFAULT: tuple[str, ...] = ("extract", "repair", "language", "quality", "exact_dedup", "fuzzy_dedup")


class StepSettings(Protocol):
    """The frozen settings of a step; `open` makes the function that a shard's batches go through."""

    def open(self) -> Any:
        """A function from a batch to its Verdict or, for deduplication, to its keys."""


@dataclass(frozen=True)
class Step:
    """One step of a pipeline."""

    name: str
    settings: StepSettings

    @property
    def compares_documents(self) -> bool:
        """Whether it needs all documents before it can drop any."""
        return self.name in DEDUPLICATION


@dataclass(frozen=True)
class Segment:
    """Steps that a batch passes alone, then the deduplication that waits for all batches (None: the end)."""

    alone: tuple[Step, ...]
    together: Step | None


@dataclass(frozen=True)
class Pipeline:
    """The steps in order."""

    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, items: Sequence[Any] | str) -> "Pipeline":
        """The pipeline that a recipe's list describes, or the ready one of this name. Raises ConfigError."""
        if isinstance(items, str):
            from .recipes import ready

            items = ready(items)
        if not items:
            raise ConfigError(f"pipeline: has no step; choose from {', '.join(STEPS)}")
        steps = tuple(parse_step(item, index) for index, item in enumerate(items))
        if any(step.name == "extract" for step in steps[1:]):
            raise ConfigError("pipeline: extract comes first, because every other step looks at the text")
        return cls(steps)

    @property
    def extracts(self) -> bool:
        """Whether HTML is turned into text."""
        return self.steps[0].name == "extract"

    def segments(self) -> list[Segment]:
        """The pipeline cut behind every deduplication."""
        found: list[Segment] = []
        alone: list[Step] = []
        for step in self.steps:
            if step.compares_documents:
                found.append(Segment(tuple(alone), step))
                alone = []
            else:
                alone.append(step)
        return [*found, Segment(tuple(alone), None)]

    def plain(self) -> list[Any]:
        """The list that `parse` reads, with every setting written out."""
        return [{step.name: to_plain(step.settings)} for step in self.steps]


def parse_step(item: Any, index: int) -> Step:
    """The step that one item of a recipe's list describes: a name, or a name with its settings."""
    place = f"pipeline[{index}]"
    values: Any = {}
    if isinstance(item, str):
        name = item
    elif isinstance(item, dict) and len(item) == 1:
        name, values = next((str(key), value or {}) for key, value in item.items())
    else:
        raise ConfigError(f"{place}: {item!r} is no step; write a name, or one name with its settings")
    if name not in STEPS:
        raise ConfigError(f"{place}: unknown step {name!r}{did_you_mean(name, STEPS)} (steps: {', '.join(STEPS)})")
    if not isinstance(values, dict):
        raise ConfigError(f"{place}: the settings of {name!r} are a mapping, not {values!r}")
    try:
        return Step(name, convert(resolve(STEPS[name]), Sourced(dict(values), {})))
    except ConfigError as error:
        raise ConfigError(f"{place} ({name}): {str(error).removeprefix('settings: ')}") from None
