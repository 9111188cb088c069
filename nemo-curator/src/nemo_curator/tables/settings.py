"""Settings of every command that passes documents through one step."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

OWN_COLUMNS = "documents artifact, or JSONL and Parquet of your own; every column is kept"


@dataclass(frozen=True, kw_only=True)
class Passage:
    """Where documents come from, where they go, and how they are read."""

    input: Annotated[Path, Meta(description=OWN_COLUMNS)]
    output: Annotated[Path, Meta(description="folder of the documents artifact to make")]
    overwrite: Annotated[bool, Meta(description="replace the output where it exists")] = False
    workers: Annotated[int, Meta(ge=0, description="processes; 0 is one per core")] = 0
    text_field: Annotated[str, Meta(description="field that holds the text; it becomes the column text")] = "text"
    id_field: Annotated[str, Meta(description="field of your own ids, kept as source_id")] = "id"
    shard_bytes: Annotated[int, Meta(ge=1, description="unpacked input in one unit of work (whole files)")] = 16_000_000
