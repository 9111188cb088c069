"""Limits of the quality rules: named presets, each of whose numbers can be overridden alone."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError
from ..foundation.settings import did_you_mean
from .presets import DEFINED, PRESETS

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[float, Meta(ge=0)]
PresetName = Literal["gopher", "gopher-datatrove", "fineweb", "c4", "mc4", "nemo", "code", "data-juicer", "none"]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What a document may at least or at most have; None switches a rule off."""

    min_words: Count | None = None
    max_words: Count | None = None
    min_mean_word_length: Count | None = None
    max_mean_word_length: Count | None = None
    max_symbols_per_word: Count | None = None
    max_bullet_lines: Share | None = None
    max_ellipsis_lines: Share | None = None
    min_alphabetic_words: Share | None = None
    min_stop_words: Count | None = None
    max_duplicate_lines: Share | None = None
    max_duplicate_line_characters: Share | None = None
    max_duplicate_paragraphs: Share | None = None
    max_duplicate_paragraph_characters: Share | None = None
    max_top_2_gram: Share | None = None
    max_top_3_gram: Share | None = None
    max_top_4_gram: Share | None = None
    max_duplicate_5_grams: Share | None = None
    max_duplicate_6_grams: Share | None = None
    max_duplicate_7_grams: Share | None = None
    max_duplicate_8_grams: Share | None = None
    max_duplicate_9_grams: Share | None = None
    max_duplicate_10_grams: Share | None = None
    max_non_alphanumeric: Share | None = None
    max_digits: Share | None = None
    max_url_characters: Share | None = None
    max_pornographic_urls: Count | None = None
    max_white_space: Share | None = None
    max_parentheses: Share | None = None
    max_word_length: Count | None = None
    max_boilerplate_paragraphs: Share | None = None
    min_unique_lines: Share | None = None
    min_unique_line_characters: Share | None = None
    min_unique_paragraphs: Share | None = None
    min_unique_paragraph_characters: Share | None = None
    max_lines_without_end_mark: Share | None = None
    min_language_score: Share | None = None
    min_punctuated_lines: Share | None = None
    max_short_lines: Share | None = None
    max_repeated_line_characters: Share | None = None
    max_newlines_per_word: Count | None = None
    max_lorem_ipsum: Count | None = None
    max_curly_brackets: Count | None = None
    min_sentences: Count | None = None
    min_third_longest_line: Count | None = None
    min_characters: Count | None = None
    max_characters: Count | None = None
    min_alphanumeric_characters: Share | None = None
    max_special_characters: Share | None = None
    max_character_repetition: Share | None = None
    max_word_repetition: Share | None = None
    max_flagged_words: Share | None = None
    min_stop_word_share: Share | None = None
    min_mean_line_length: Count | None = None
    max_mean_line_length: Count | None = None
    min_longest_line: Count | None = None
    max_longest_line: Count | None = None
    min_tokens: Count | None = None
    max_tokens: Count | None = None
    max_perplexity: Count | None = None
    min_lines: Count | None = None
    max_lines: Count | None = None
    min_comments: Share | None = None
    max_comments: Share | None = None
    min_alphabetic_characters: Share | None = None
    max_xml_header: Share | None = None
    min_visible_text: Share | None = None
    min_characters_per_token: Count | None = None
    min_fits_extension: Share | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of a score of your own, and the reason for documents beyond them."""

    min: Annotated[float | None, Meta(description="least score of a document that stays")] = None
    max: Annotated[float | None, Meta(description="greatest score of a document that stays")] = None
    reason: Annotated[
        str, Meta(description="the fault, for the rejects; else the score's name and too_low or _high")
    ] = ""


@dataclass(frozen=True, kw_only=True)
class Quality(Thresholds):
    """The quality step: a preset, and any threshold of it replaced."""

    preset: Annotated[PresetName, Meta(description="set of limits to start from")] = "gopher"
    off: Annotated[list[str], Meta(description="thresholds of the preset to switch off")] = dataclasses.field(
        default_factory=list
    )
    definitions: Annotated[
        Literal["paper", "datatrove", "nemo"] | None,
        Meta(description="whose definitions of words, lines and shares; those of the preset unless said"),
    ] = None
    custom: Annotated[
        dict[str, Limits], Meta(description="your own scores, by entry point or module:function, with their limits")
    ] = dataclasses.field(default_factory=dict)
    drop: Annotated[bool, Meta(description="false only scores: no document is dropped")] = True
    keep_scores: Annotated[bool, Meta(description="write each score into a column score_NAME")] = False
    extra_scores: Annotated[list[str], Meta(description="further scores to write, without a limit")] = (
        dataclasses.field(default_factory=list)
    )
    afresh: Annotated[bool, Meta(description="compute scores that the documents have as columns already")] = False
    flagged_words: Annotated[Path | None, Meta(description="file of flagged words, one a line")] = None
    stop_words: Annotated[Path | None, Meta(description="file of stop words in place of the English ones")] = None
    tokenizer: Annotated[Path | None, Meta(description="tokenizer.json, or its folder, to count tokens with")] = None
    ngram_model: Annotated[Path | None, Meta(description="ARPA file to measure perplexity with")] = None
    comments_of: Annotated[str, Meta(description="programming language whose comments are counted")] = "python"
    language_column: Annotated[str, Meta(description="column of a file's programming language")] = (
        "programming_language"
    )
    extension_column: Annotated[str, Meta(description="column of a file's extension")] = "extension"

    def __post_init__(self) -> None:
        limits = self.limits()
        for low, least in limits.items():
            high = low.replace("min_", "max_", 1)
            if low.startswith("min_") and least > limits.get(high, least):
                raise ConfigError(
                    f"{low}={least:g} is above {high}={limits[high]:g}: no document could stay; "
                    f"lower {low} or raise {high}"
                )
        if "max_flagged_words" in limits and self.flagged_words is None:
            raise ConfigError("max_flagged_words needs your list: set flagged_words=FILE")

    def limits(self) -> dict[str, float]:
        """The thresholds in force by name."""
        names = [f.name for f in dataclasses.fields(Thresholds)]
        for name in self.off:
            if name not in names:
                raise ConfigError(f"off: unknown threshold {name!r}{did_you_mean(name, names)}")
        preset = {name: value for name, value in PRESETS[self.preset].limits.items() if name not in self.off}
        own = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {name: {**preset, **own}[name] for name in names if name in preset or name in own}

    def score_of(self, name: str) -> str:
        """The score that a rule on `name` looks at, under the definitions in force."""
        return DEFINED[self.definitions or PRESETS[self.preset].definitions].get(name, name)

    def columns(self) -> list[Any]:
        """The columns that the step adds, as Arrow fields."""
        from .quality import added_columns

        return added_columns(self)

    def open(self) -> Any:
        """The step as a function from a batch to its verdict."""
        from .quality import judge

        return judge(self)
