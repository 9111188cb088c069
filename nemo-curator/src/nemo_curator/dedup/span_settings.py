"""Settings of the deduplication steps that cut repeated passages out of documents."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError

KEEP = "which occurrences stay: the first in the order of ids, or none"
LEFT = "drop a document of which fewer bytes are left"
UNITS = {"line": 0, "sentence": 1, "paragraph": 2, "words": 3}
SHORTEST = 8


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """What happens to repeated passages."""

    reason: ClassVar[str] = "only_repeated_passages"
    keep: Annotated[Literal["first", "none"], Meta(description=KEEP)] = "first"
    min_bytes_left: Annotated[int, Meta(ge=1, description=LEFT)] = 1

    @property
    def prefilter(self) -> bool:
        """Whether windows are too many to be written down all."""
        return False

    def compare(self, comparison: Any) -> Any:
        """Find what is repeated in all documents; the figures of it."""
        from .spans import find_repeated

        return find_repeated(self, comparison)

    def removal(self, layout: Any, segment: int, shard: int) -> Any:
        """The step that cuts it out of a shard's batches, in order."""
        from .cuts import Cutter

        return Cutter(self, layout, segment, shard)


@dataclass(frozen=True, kw_only=True)
class SpanDedup(Cutting):
    """Cut out lines, paragraphs or runs of sentences that occur before (C4: three sentences, Raffel et al. 2020)."""

    reason: ClassVar[str] = "only_repeated_spans"
    unit: Annotated[Literal["line", "sentence", "paragraph"], Meta(description="what spans are made of")] = "sentence"
    window: Annotated[int, Meta(ge=1, le=1000, description="units in a span; C4 takes 3 sentences")] = 3
    min_bytes: Annotated[int, Meta(ge=1, description="shorter spans are left alone")] = 1

    @property
    def recipe(self) -> str:
        """How keys are made."""
        return f"spans of {self.window} {self.unit}, {self.min_bytes} bytes or more"

    def open(self) -> Any:
        """The gatherer of span hashes."""
        from .spans import UnitGather

        return UnitGather(UNITS[self.unit], width=self.window, least=self.min_bytes, recipe=self.recipe)


@dataclass(frozen=True, kw_only=True)
class SubstringDedup(Cutting):
    """Cut out every substring of some length that occurs before (Lee et al. 2022, ExactSubstr)."""

    reason: ClassVar[str] = "only_repeated_substrings"
    unit: Annotated[Literal["bytes", "words"], Meta(description="what the length counts")] = "bytes"
    length: Annotated[int, Meta(ge=2, le=100_000, description="bytes (8 or more) or words of a repeated substring")] = (
        100
    )

    def __post_init__(self) -> None:
        if self.unit == "bytes" and self.length < SHORTEST:
            raise ConfigError(f"length={self.length} bytes is too short; {SHORTEST} is the least")

    @property
    def recipe(self) -> str:
        """How keys are made."""
        return f"substrings of {self.length} {self.unit}"

    @property
    def prefilter(self) -> bool:
        """Whether windows are too many to be written down all."""
        return self.unit == "bytes"

    @property
    def gram(self) -> int:
        """Bytes of the parts whose least hash stands for a substring."""
        return max(SHORTEST // 2, self.length // 3)

    def open(self) -> Any:
        """The gatherer of substring hashes, or of the minimizers that stand for them."""
        from .spans import MinimizerGather, UnitGather

        if self.prefilter:
            return MinimizerGather(self)
        return UnitGather(UNITS["words"], width=self.length, least=1, recipe=self.recipe)
