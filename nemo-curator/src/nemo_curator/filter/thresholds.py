"""Limits of the quality rules: named presets, each of whose numbers can be overridden alone."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[float, Meta(ge=0)]


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
    min_stop_words: Annotated[float, Meta(ge=0, le=8)] | None = None
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


GOPHER = Thresholds(
    min_words=50,
    max_words=100_000,
    min_mean_word_length=3,
    max_mean_word_length=10,
    max_symbols_per_word=0.1,
    max_bullet_lines=0.9,
    max_ellipsis_lines=0.3,
    min_alphabetic_words=0.8,
    min_stop_words=2,
    max_duplicate_lines=0.3,
    max_duplicate_line_characters=0.2,
    max_duplicate_paragraphs=0.3,
    max_duplicate_paragraph_characters=0.2,
    max_top_2_gram=0.20,
    max_top_3_gram=0.18,
    max_top_4_gram=0.16,
    max_duplicate_5_grams=0.15,
    max_duplicate_6_grams=0.14,
    max_duplicate_7_grams=0.13,
    max_duplicate_8_grams=0.12,
    max_duplicate_9_grams=0.11,
    max_duplicate_10_grams=0.10,
)
PRESETS = {"gopher": GOPHER, "none": Thresholds()}


@dataclass(frozen=True, kw_only=True)
class Quality(Thresholds):
    """The quality step: a preset, and any threshold of it replaced."""

    preset: Annotated[Literal["gopher", "none"], Meta(description="set of limits to start from")] = "gopher"
    off: Annotated[list[str], Meta(description="thresholds of the preset to switch off")] = dataclasses.field(
        default_factory=list
    )

    def __post_init__(self) -> None:
        limits = self.limits()
        for low, high in (("min_words", "max_words"), ("min_mean_word_length", "max_mean_word_length")):
            if low in limits and high in limits and limits[low] > limits[high]:
                raise ConfigError(
                    f"{low}={limits[low]:g} is above {high}={limits[high]:g}: no document could stay; "
                    f"lower {low} or raise {high}"
                )

    def limits(self) -> dict[str, float]:
        """The thresholds in force by name."""
        from ..foundation.settings import did_you_mean

        chosen = {f.name: getattr(PRESETS[self.preset], f.name) for f in dataclasses.fields(Thresholds)}
        for name in self.off:
            if name not in chosen:
                raise ConfigError(f"off: unknown threshold {name!r}{did_you_mean(name, chosen)}")
            chosen[name] = None
        own: dict[str, Any] = {name: getattr(self, name) for name in chosen}
        return {
            name: own[name] if own[name] is not None else chosen[name]
            for name in chosen
            if own[name] is not None or chosen[name] is not None
        }

    def open(self) -> Any:
        """The step as a function from a batch to its verdict."""
        from .quality import judge

        return judge(self.limits())
