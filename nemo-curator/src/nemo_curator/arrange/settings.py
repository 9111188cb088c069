"""Settings of the commands that arrange documents."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError
from ..tables.settings import OWN_COLUMNS

AMOUNTS = {"documents": "documents", "text_bytes": "bytes", "tokens": "tokens"}
"""What ``blend`` measures by, for each setting that says how much of it to write."""
NAME = r"^[A-Za-z0-9._-]+$"


@dataclass(frozen=True, kw_only=True)
class Writing:
    """Where documents go, in files of which size, and how input of your own is read."""

    output: Annotated[Path, Meta(description="folder of the documents artifact to make")]
    overwrite: Annotated[bool, Meta(description="replace the output where it exists")] = False
    rows_per_file: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="documents in a file")] = 100_000
    bytes_per_file: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="bytes of text in a file, one document at least")
    ] = None
    text_field: Annotated[str, Meta(description="field that holds the text; it becomes the column text")] = "text"
    id_field: Annotated[str, Meta(description="field of your own ids, kept as source_id")] = "id"


@dataclass(frozen=True, kw_only=True)
class Arrangement(Writing):
    """One input and one output."""

    input: Annotated[Path, Meta(description=OWN_COLUMNS)]


@dataclass(frozen=True, kw_only=True)
class Shard(Arrangement):
    """Settings of ``nemo-curator shard``: the same documents in files of another size."""


@dataclass(frozen=True, kw_only=True)
class Shuffle(Arrangement):
    """Settings of ``nemo-curator shuffle``: the same documents in an order that seed and ids decide."""

    seed: Annotated[int, Meta(ge=0, description="seed of the order")] = 42
    memory_bytes: Annotated[int, Meta(ge=1, description="text held at a time; more goes through files")] = 500_000_000


@dataclass(frozen=True, kw_only=True)
class AddId(Arrangement):
    """Settings of ``nemo-curator add-id``: ids of your own; an old one becomes source_id where that is empty."""

    prefix: Annotated[str, Meta(pattern=NAME, description="what every id begins with")] = "doc"
    kind: Annotated[
        Literal["number", "content"], Meta(description="number of the document in the input, or hash of its text")
    ] = "number"
    start: Annotated[int, Meta(ge=0, description="number of the first document")] = 0


@dataclass(frozen=True, kw_only=True)
class Sample(Arrangement):
    """Settings of ``nemo-curator sample``: documents that seed and ids choose; order and files do not matter."""

    fraction: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None, Meta(description="share of documents to take, exactly")
    ] = None
    count: Annotated[Annotated[int, Meta(ge=0)] | None, Meta(description="documents to take")] = None
    by: Annotated[str | None, Meta(description="column; each of its values keeps its share of the sample")] = None
    per_value: Annotated[
        Annotated[int, Meta(ge=0)] | None, Meta(description="documents to take of each value of `by`, at most")
    ] = None
    seed: Annotated[int, Meta(ge=0, description="seed of the choice; another seed chooses independently")] = 42

    def __post_init__(self) -> None:
        given = [name for name in ("fraction", "count", "per_value") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(f"give one of fraction, count and per_value, not {' and '.join(given) or 'none'}")
        if self.per_value is not None and self.by is None:
            raise ConfigError("per_value needs the column whose values it is about: by=COLUMN")


@dataclass(frozen=True, kw_only=True)
class Separate(Writing):
    """Settings of ``nemo-curator separate``: an artifact for each value of a column, in a folder of that name."""

    input: Annotated[Path, Meta(description=OWN_COLUMNS)]
    by: Annotated[str, Meta(description="column to separate by, such as language")]
    only: Annotated[list[str] | None, Meta(description="values to write; null writes all")] = None
    max_values: Annotated[int, Meta(ge=1, le=10_000, description="more values are an error: files stay open")] = 500


@dataclass(frozen=True, kw_only=True)
class Blend(Writing):
    """Settings of ``nemo-curator blend``: documents of several inputs in exact proportions, evenly mixed."""

    inputs: Annotated[
        list[Path], Meta(min_length=1, description="documents artifacts, or JSONL and Parquet of your own")
    ]
    weights: Annotated[
        list[Annotated[float, Meta(ge=0)]], Meta(min_length=1, description="share of each in the blend, in any unit")
    ]
    by: Annotated[
        Literal["documents", "bytes", "tokens"],
        Meta(description="what the shares are shares of: documents, bytes of text, or tokens of `tokenizer`"),
    ] = "documents"
    documents: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="documents to write; null is as many as go without repeating any"),
    ] = None
    text_bytes: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="bytes of text to write, with by=bytes; null as above")
    ] = None
    tokens: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="tokens to write, with by=tokens; null as above")
    ] = None
    tokenizer: Annotated[
        Path | None, Meta(description="tokenizer.json, or its folder, to count tokens with (extra [classify])")
    ] = None
    max_repeats: Annotated[int, Meta(ge=1, description="most copies of a document where an input is too small")] = 4
    seed: Annotated[int, Meta(ge=0, description="seed of the choice among an input's documents")] = 42

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.weights):
            raise ConfigError(f"weights: {len(self.weights)} of them for {len(self.inputs)} inputs; give one for each")
        if not sum(self.weights):
            raise ConfigError("weights: all are 0, so nothing would be written")
        for name, unit in AMOUNTS.items():
            if getattr(self, name) is not None and self.by != unit:
                right = next(each for each, of in AMOUNTS.items() if of == self.by)
                raise ConfigError(f"{name}: needs by={unit}; with by={self.by} say how much as {right}=N")
        if (self.by == "tokens") != (self.tokenizer is not None):
            raise ConfigError("by=tokens and tokenizer=PATH go together: tokens are those of a tokenizer")

    @property
    def amount(self) -> tuple[str, int | None]:
        """The setting that says how much to write, and what it says."""
        name = next(each for each, unit in AMOUNTS.items() if unit == self.by)
        return name, getattr(self, name)
