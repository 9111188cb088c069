"""One deduplication as a command of its own: ``nemo-curator dedup exact input=... output=...``."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from msgspec import Meta

from ..recipe import Source
from .seen_settings import SeenDedup
from .semantic_settings import SemanticDedup
from .settings import GROUPS, ExactDedup, FuzzyDedup
from .span_settings import SpanDedup, SubstringDedup

if TYPE_CHECKING:
    from ..curation import Curated

Command = TypeVar("Command", bound=Source)


@dataclass(frozen=True, kw_only=True)
class DedupExact(ExactDedup, Source):
    """Settings of ``nemo-curator dedup exact``."""

    groups: Annotated[bool, Meta(description=GROUPS)] = True


@dataclass(frozen=True, kw_only=True)
class DedupFuzzy(FuzzyDedup, Source):
    """Settings of ``nemo-curator dedup fuzzy``."""

    groups: Annotated[bool, Meta(description=GROUPS)] = True


@dataclass(frozen=True, kw_only=True)
class DedupSpans(SpanDedup, Source):
    """Settings of ``nemo-curator dedup spans``."""


@dataclass(frozen=True, kw_only=True)
class DedupSubstring(SubstringDedup, Source):
    """Settings of ``nemo-curator dedup substring``."""


@dataclass(frozen=True, kw_only=True)
class DedupSeen(SeenDedup, Source):
    """Settings of ``nemo-curator dedup seen``."""


@dataclass(frozen=True, kw_only=True)
class DedupSemantic(SemanticDedup, Source):
    """Settings of ``nemo-curator dedup semantic``."""

    groups: Annotated[bool, Meta(description=GROUPS)] = True


@dataclass(frozen=True, kw_only=True)
class DedupRecall(FuzzyDedup):
    """Settings of ``nemo-curator dedup recall``: those of ``dedup fuzzy``, and what to try them on."""

    input: Annotated[Path, Meta(description="JSONL or Parquet file, a folder of them, or a documents artifact")]
    sample: Annotated[int, Meta(ge=2, le=50_000, description="documents to compare, spread over the input")] = 2000
    text_field: Annotated[str, Meta(description="JSONL or Parquet field that holds the text")] = "text"


STEPS: dict[type[Source], tuple[str, type[Any]]] = {
    DedupExact: ("exact_dedup", ExactDedup),
    DedupFuzzy: ("fuzzy_dedup", FuzzyDedup),
    DedupSpans: ("span_dedup", SpanDedup),
    DedupSeen: ("seen_dedup", SeenDedup),
    DedupSemantic: ("semantic_dedup", SemanticDedup),
    DedupSubstring: ("substring_dedup", SubstringDedup),
}


def run(settings: Source) -> "Curated":
    """Run the pipeline whose only step is that of `settings`."""
    from ..curation import run as run_pipeline
    from ..foundation.settings import to_plain
    from ..recipe import Run

    name, step = STEPS[type(settings)]
    values = {each.name: to_plain_value(getattr(settings, each.name), to_plain) for each in fields(step)}
    places = {each.name: getattr(settings, each.name) for each in fields(Source)}
    return run_pipeline(Run(pipeline=[{name: values}], **places))


def to_plain_value(value: Any, to_plain: Any) -> Any:
    """A setting as it stands in a recipe."""
    return str(value) if isinstance(value, Path) else to_plain(value)


def dedup(command: type[Command], input: str | Path, output: str | Path, **settings: Any) -> "Curated":
    """What the command does, for Python: ``dedup(DedupFuzzy, "crawl", "unique", recall=0.95)``."""
    return run(command(input=Path(input), output=Path(output), **settings))
