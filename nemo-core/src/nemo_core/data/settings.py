"""Settings of `nemo-core tokenize`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class TokenizeSettings:
    """Documents in, an indexed dataset of token ids out."""

    documents: Annotated[
        Path,
        Meta(
            description="documents artifact; JSONL(.gz, .zst)/Parquet file or folder, or a URL (s3://, gs://, https://)"
        ),
    ]
    tokenizer: Annotated[Path, Meta(description="tokenizer artifact, or any Hugging Face folder with a tokenizer.json")]
    output: Annotated[Path, Meta(description="folder of the tokens artifact to make")]
    validation_share: Annotated[
        float, Meta(ge=0.0, lt=1.0, description="share of documents held out, chosen by a hash of their id; 0: none")
    ] = 0.05
    seed: Annotated[int, Meta(ge=0, description="changes which documents are held out")] = 0
    text_field: Annotated[str, Meta(min_length=1, description="column or key that holds a document's text")] = "text"
    batch_bytes: Annotated[int, Meta(ge=1, description="about how much of a JSONL file is encoded at once")] = 4_000_000
    workers: Annotated[
        int, Meta(ge=0, description="processes that encode; 0: one per core, for small inputs one. Same bytes for any")
    ] = 0
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
