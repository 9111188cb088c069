"""Limits of the quality rules: named presets, each of whose numbers can be overridden alone."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError
from ..foundation.settings import did_you_mean
from .presets import DEFINED, PRESETS, Definitions

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[float, Meta(ge=0)]
PresetName = Literal["gopher", "gopher-datatrove", "fineweb", "c4", "mc4", "nemo", "code", "data-juicer", "none"]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What a document may at least or at most have; None switches a rule off."""

    min_words: Annotated[Count | None, Meta(description="beyond it: too_few_words")] = None
    max_words: Annotated[Count | None, Meta(description="beyond it: too_many_words")] = None
    min_mean_word_length: Annotated[Count | None, Meta(description="beyond it: words_too_short")] = None
    max_mean_word_length: Annotated[Count | None, Meta(description="beyond it: words_too_long")] = None
    max_symbols_per_word: Annotated[Count | None, Meta(description="beyond it: too_many_symbols")] = None
    max_bullet_lines: Annotated[Share | None, Meta(description="beyond it: too_many_bullets")] = None
    max_ellipsis_lines: Annotated[Share | None, Meta(description="beyond it: too_many_ellipses")] = None
    min_alphabetic_words: Annotated[Share | None, Meta(description="beyond it: too_few_alphabetic_words")] = None
    min_stop_words: Annotated[Count | None, Meta(description="beyond it: too_few_stop_words")] = None
    max_duplicate_lines: Annotated[Share | None, Meta(description="beyond it: too_many_duplicate_lines")] = None
    max_duplicate_line_characters: Annotated[
        Share | None, Meta(description="beyond it: too_much_text_in_duplicate_lines")
    ] = None
    max_duplicate_paragraphs: Annotated[Share | None, Meta(description="beyond it: too_many_duplicate_paragraphs")] = (
        None
    )
    max_duplicate_paragraph_characters: Annotated[
        Share | None, Meta(description="beyond it: too_much_text_in_duplicate_paragraphs")
    ] = None
    max_top_2_gram: Annotated[Share | None, Meta(description="beyond it: one_2_gram_too_often")] = None
    max_top_3_gram: Annotated[Share | None, Meta(description="beyond it: one_3_gram_too_often")] = None
    max_top_4_gram: Annotated[Share | None, Meta(description="beyond it: one_4_gram_too_often")] = None
    max_duplicate_5_grams: Annotated[Share | None, Meta(description="beyond it: too_many_repeated_5_grams")] = None
    max_duplicate_6_grams: Annotated[Share | None, Meta(description="beyond it: too_many_repeated_6_grams")] = None
    max_duplicate_7_grams: Annotated[Share | None, Meta(description="beyond it: too_many_repeated_7_grams")] = None
    max_duplicate_8_grams: Annotated[Share | None, Meta(description="beyond it: too_many_repeated_8_grams")] = None
    max_duplicate_9_grams: Annotated[Share | None, Meta(description="beyond it: too_many_repeated_9_grams")] = None
    max_duplicate_10_grams: Annotated[Share | None, Meta(description="beyond it: too_many_repeated_10_grams")] = None
    max_non_alphanumeric: Annotated[Share | None, Meta(description="beyond it: too_many_symbol_characters")] = None
    max_digits: Annotated[Share | None, Meta(description="beyond it: too_many_digits")] = None
    max_url_characters: Annotated[Share | None, Meta(description="beyond it: too_many_urls")] = None
    max_pornographic_urls: Annotated[Count | None, Meta(description="beyond it: pornographic_urls")] = None
    max_white_space: Annotated[Share | None, Meta(description="beyond it: too_much_white_space")] = None
    max_parentheses: Annotated[Share | None, Meta(description="beyond it: too_many_parentheses")] = None
    max_word_length: Annotated[Count | None, Meta(description="beyond it: word_too_long")] = None
    max_boilerplate_paragraphs: Annotated[Share | None, Meta(description="beyond it: too_much_boilerplate")] = None
    min_unique_lines: Annotated[Share | None, Meta(description="beyond it: too_few_unique_lines")] = None
    min_unique_line_characters: Annotated[
        Share | None, Meta(description="beyond it: too_little_text_in_unique_lines")
    ] = None
    min_unique_paragraphs: Annotated[Share | None, Meta(description="beyond it: too_few_unique_paragraphs")] = None
    min_unique_paragraph_characters: Annotated[
        Share | None, Meta(description="beyond it: too_little_text_in_unique_paragraphs")
    ] = None
    max_lines_without_end_mark: Annotated[
        Share | None, Meta(description="beyond it: too_many_lines_without_end_mark")
    ] = None
    min_language_score: Annotated[Share | None, Meta(description="beyond it: language_uncertain")] = None
    min_punctuated_lines: Annotated[Share | None, Meta(description="beyond it: too_few_punctuated_lines")] = None
    max_short_lines: Annotated[Share | None, Meta(description="beyond it: too_many_short_lines")] = None
    max_repeated_line_characters: Annotated[
        Share | None, Meta(description="beyond it: too_much_text_in_repeated_lines")
    ] = None
    max_newlines_per_word: Annotated[Count | None, Meta(description="beyond it: too_many_newlines")] = None
    max_lorem_ipsum: Annotated[Count | None, Meta(description="beyond it: placeholder_text")] = None
    max_curly_brackets: Annotated[Count | None, Meta(description="beyond it: curly_brackets")] = None
    min_sentences: Annotated[Count | None, Meta(description="beyond it: too_few_sentences")] = None
    min_third_longest_line: Annotated[Count | None, Meta(description="beyond it: too_few_long_lines")] = None
    min_characters: Annotated[Count | None, Meta(description="beyond it: too_few_characters")] = None
    max_characters: Annotated[Count | None, Meta(description="beyond it: too_many_characters")] = None
    min_alphanumeric_characters: Annotated[Share | None, Meta(description="beyond it: too_few_alphanumerics")] = None
    max_special_characters: Annotated[Share | None, Meta(description="beyond it: too_many_special_characters")] = None
    max_character_repetition: Annotated[Share | None, Meta(description="beyond it: too_much_character_repetition")] = (
        None
    )
    max_word_repetition: Annotated[Share | None, Meta(description="beyond it: too_much_word_repetition")] = None
    max_flagged_words: Annotated[Share | None, Meta(description="beyond it: too_many_flagged_words")] = None
    min_stop_word_share: Annotated[Share | None, Meta(description="beyond it: too_small_a_share_of_stop_words")] = None
    min_mean_line_length: Annotated[Count | None, Meta(description="beyond it: lines_too_short")] = None
    max_mean_line_length: Annotated[Count | None, Meta(description="beyond it: lines_too_long")] = None
    min_longest_line: Annotated[Count | None, Meta(description="beyond it: longest_line_too_short")] = None
    max_longest_line: Annotated[Count | None, Meta(description="beyond it: longest_line_too_long")] = None
    min_tokens: Annotated[Count | None, Meta(description="beyond it: too_few_tokens")] = None
    max_tokens: Annotated[Count | None, Meta(description="beyond it: too_many_tokens")] = None
    max_perplexity: Annotated[Count | None, Meta(description="beyond it: too_surprising")] = None
    min_lines: Annotated[Count | None, Meta(description="beyond it: too_few_lines")] = None
    max_lines: Annotated[Count | None, Meta(description="beyond it: too_many_lines")] = None
    min_comments: Annotated[Share | None, Meta(description="beyond it: too_few_comments")] = None
    max_comments: Annotated[Share | None, Meta(description="beyond it: too_many_comments")] = None
    min_alphabetic_characters: Annotated[Share | None, Meta(description="beyond it: too_few_letters")] = None
    max_xml_header: Annotated[Share | None, Meta(description="beyond it: xml_header")] = None
    min_visible_text: Annotated[Share | None, Meta(description="beyond it: too_little_visible_text")] = None
    min_characters_per_token: Annotated[Count | None, Meta(description="beyond it: too_few_characters_per_token")] = (
        None
    )
    min_fits_extension: Annotated[Share | None, Meta(description="beyond it: unfit_for_its_extension")] = None


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
        Definitions | None,
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
    stop_word_language: Annotated[
        Annotated[str, Meta(pattern="^(auto|[a-z]{2,3})$")] | None,
        Meta(description="ISO 639 code whose stop words its rules take; auto: each document's column language"),
    ] = None
    segment: Annotated[
        Literal["none", "characters", "dictionary"],
        Meta(
            description="words of scripts without blanks (Chinese, Japanese, Thai …): cut at blanks all the same, "
            "one a character, or by dictionary (extra [segment])"
        ),
    ] = "none"
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
        """The score that a rule on `name` looks at, under the definitions and the stop words in force."""
        if name == "stop_words" and (self.stop_words or self.stop_word_language):
            return "listed_stop_words"
        return DEFINED[self.definitions or PRESETS[self.preset].definitions].get(name, name)

    def columns(self) -> list[Any]:
        """The columns that the step adds, as Arrow fields."""
        from .quality import added_columns

        return added_columns(self)

    def open(self) -> Any:
        """The step as a function from a batch to its verdict."""
        from .quality import judge

        return judge(self)
