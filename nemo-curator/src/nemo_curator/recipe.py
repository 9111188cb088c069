"""Settings of the commands that curate documents and look at them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from .pipeline import DEFAULT
from .placement import Placed

OVERWRITE = "replace the output where it exists"
STEPS_OR_NAME = "steps in order, each a name or a name with settings; or the name of a ready pipeline, such as fineweb"


@dataclass(frozen=True, kw_only=True)
class Source(Placed):
    """What every command that makes documents is told: what to read, where to write, how to cut and place the work."""

    input: Annotated[Path, Meta(description="file, folder, artifact, or an address such as s3://bucket/crawl")]
    output: Annotated[Path, Meta(description="folder of the documents artifact to make")]
    overwrite: Annotated[bool, Meta(description=OVERWRITE)] = False
    shard_bytes: Annotated[int, Meta(ge=1, description="unpacked input in one unit of work (whole files)")] = 4_000_000
    text_field: Annotated[str, Meta(description="JSONL or Parquet field that holds the text")] = "text"
    id_field: Annotated[str, Meta(description="field of your own ids, kept as source_id")] = "id"
    max_document_bytes: Annotated[int, Meta(ge=1, description="larger documents are rejected")] = 10_000_000
    keep_fields: Annotated[bool, Meta(description="keep your other fields, as JSON in the column metadata")] = True


@dataclass(frozen=True, kw_only=True)
class Run(Source):
    """Settings of ``nemo-curator run``."""

    pipeline: Annotated[list[Any] | str, Meta(description=STEPS_OR_NAME)] = field(default_factory=lambda: list(DEFAULT))


@dataclass(frozen=True, kw_only=True)
class Plan(Run):
    """Settings of ``nemo-curator plan``: those of the run, and how much is sampled."""

    sample: Annotated[bool, Meta(description="try a part of the input; without it, no time or size is told")] = True
    sample_bytes: Annotated[int, Meta(ge=10_000, description="most bytes of documents to try")] = 8_000_000
    sample_seconds: Annotated[float, Meta(gt=0, description="about the most seconds to read and try them for")] = 10.0


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Settings of ``nemo-curator resume``."""

    output: Annotated[Path, Meta(description="folder that the unfinished run was to make")]
    workers: Annotated[Annotated[int, Meta(ge=0)] | None, Meta(description="processes; as before unless said")] = None
    memory_limit: Annotated[str | None, Meta(description="memory of all processes; as before unless said")] = None
    connections: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="requests under way at once; as before unless said")
    ] = None


@dataclass(frozen=True, kw_only=True)
class Pipelines:
    """Settings of ``nemo-curator pipelines``."""

    name: Annotated[str, Meta(description="only this one, as YAML to begin a recipe with")] = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Settings of ``nemo-curator report``."""

    documents: Annotated[Path, Meta(description="documents artifact to report on")]
    output: Annotated[Path | None, Meta(description="page to write; beside the artifact unless said")] = None
    overwrite: Annotated[bool, Meta(description=OVERWRITE)] = False


@dataclass(frozen=True, kw_only=True)
class Explain:
    """Settings of ``nemo-curator explain``."""

    id: Annotated[str, Meta(description="id of a document, or the source_id you gave it")]
    documents: Annotated[Path, Meta(description="documents artifact that it went into")]
