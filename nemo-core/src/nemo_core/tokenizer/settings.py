"""Settings of `nemo-core tokenizer`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

SMALLEST_VOCABULARY = 259  # 256 bytes and three special tokens


@dataclass(frozen=True, kw_only=True)
class TokenizerSettings:
    """Documents in, a byte-level BPE tokenizer out."""

    documents: Annotated[
        Path,
        Meta(
            description="documents artifact; JSONL(.gz, .zst)/Parquet file or folder, or a URL (s3://, gs://, https://)"
        ),
    ]
    output: Annotated[Path, Meta(description="folder of the tokenizer artifact to make")]
    vocab_size: Annotated[
        int, Meta(ge=SMALLEST_VOCABULARY, le=1_000_000, description="tokens at most, special ones and bytes included")
    ] = 4096
    min_frequency: Annotated[int, Meta(ge=1, description="a pair seen less often is not merged")] = 2
    max_bytes: Annotated[
        int, Meta(ge=1, description="learn from this much text at most, taken from the first documents")
    ] = 1_000_000_000
    text_field: Annotated[str, Meta(min_length=1, description="column or key that holds a document's text")] = "text"
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False


@dataclass(frozen=True, kw_only=True)
class ImportTokenizerSettings:
    """A SentencePiece model in, the same tokenizer as tokenizer.json out."""

    model: Annotated[Path, Meta(description="SentencePiece file, often called tokenizer.model")]
    output: Annotated[Path, Meta(description="folder of the tokenizer artifact to make")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
