"""Settings of the commands that curate documents and look at them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from .pipeline import DEFAULT

OVERWRITE = "replace the output where it exists"


@dataclass(frozen=True, kw_only=True)
class Run:
    """Settings of ``nemo-curator run``."""

    input: Annotated[Path, Meta(description="file, folder, artifact, or an address such as s3://bucket/crawl")]
    output: Annotated[Path, Meta(description="folder of the documents artifact to make")]
    overwrite: Annotated[bool, Meta(description=OVERWRITE)] = False
    pipeline: Annotated[list[Any], Meta(description="steps in order, each a name or a name with settings")] = field(
        default_factory=lambda: list(DEFAULT)
    )
    workers: Annotated[int, Meta(ge=0, description="processes; 0 is one per core")] = 0
    shard_bytes: Annotated[int, Meta(ge=1, description="unpacked input in one unit of work (whole files)")] = 4_000_000
    text_field: Annotated[str, Meta(description="JSONL or Parquet field that holds the text")] = "text"
    id_field: Annotated[str, Meta(description="field of your own ids, kept as source_id")] = "id"
    max_document_bytes: Annotated[int, Meta(ge=1, description="larger documents are rejected")] = 10_000_000
    keep_fields: Annotated[bool, Meta(description="keep your other fields, as JSON in the column metadata")] = True


@dataclass(frozen=True, kw_only=True)
class Explain:
    """Settings of ``nemo-curator explain``."""

    id: Annotated[str, Meta(description="id of a document, or the source_id you gave it")]
    documents: Annotated[Path, Meta(description="documents artifact that it went into")]
