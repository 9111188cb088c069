"""Settings of the deduplication against what earlier runs have seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError
from .settings import EQUAL
from .span_settings import LEFT, UNITS


@dataclass(frozen=True, kw_only=True)
class SeenDedup:
    """Drop documents, or cut out paragraphs or lines, that this run or an earlier one has seen (a Bloom filter)."""

    seen: Annotated[
        Path | None, Meta(description="output of the run before, whose filter goes on; none: a new one")
    ] = None
    unit: Annotated[Literal["document", "paragraph", "line"], Meta(description="what is remembered")] = "document"
    capacity: Annotated[int, Meta(ge=1, description="texts that a new filter has room for")] = 10_000_000
    false_positive_rate: Annotated[
        float, Meta(gt=0, lt=1, description="share of new texts taken for known ones, once a new filter is full")
    ] = 1e-6
    ignore_case_and_space: Annotated[bool, Meta(description=EQUAL + " (documents only)")] = False
    min_bytes_left: Annotated[int, Meta(ge=1, description=LEFT)] = 1

    def __post_init__(self) -> None:
        if self.ignore_case_and_space and self.unit != "document":
            raise ConfigError(f"ignore_case_and_space goes with unit=document, not unit={self.unit}")

    reason: ClassVar[str] = "seen_before"

    @property
    def recipe(self) -> str:
        """What the filter holds."""
        alike = " apart from case and white space" if self.ignore_case_and_space else ""
        return f"every {self.unit}{alike}"

    @property
    def filter_path(self) -> Path | None:
        """The filter to go on with."""
        if self.seen is None:
            return None
        from .seen import FILTER

        return self.seen / "seen" / FILTER if self.seen.is_dir() else self.seen

    def inputs(self) -> dict[str, Path]:
        """What the result depends on beside the documents."""
        return {} if self.seen is None else {"seen": self.seen}

    def open(self) -> Any:
        """The gatherer of document digests, or of the hashes of paragraphs or lines."""
        if self.unit != "document":
            from .spans import UnitGather

            return UnitGather(UNITS[self.unit], width=1, least=1, recipe=self.recipe)
        from .exact import keyer
        from .keys import KeyGather
        from .settings import ExactDedup

        return KeyGather(
            keyer(ExactDedup(ignore_case_and_space=self.ignore_case_and_space)), num_keys=2, recipe=self.recipe
        )

    def compare(self, comparison: Any) -> Any:
        """Pass all texts through the filter."""
        from .seen import drop_seen

        return drop_seen(self, comparison)

    def removal(self, layout: Any, segment: int, shard: int) -> Any:
        """The step that drops the documents, or cuts out what was seen."""
        if self.unit == "document":
            from ..shards.compare import left_out

            return left_out(layout, segment, shard, reason=self.reason)
        from .cuts import Cutter

        return Cutter(self, layout, segment, shard)
