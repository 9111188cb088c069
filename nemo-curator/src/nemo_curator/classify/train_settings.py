"""Settings of the commands that train a classifier."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from msgspec import Meta

CLASS_NAME = "^[^ \t\n]+$"


@dataclass(frozen=True, kw_only=True)
class PrepareFastText:
    """Settings of ``nemo-curator prepare-fasttext``."""

    input: Annotated[Path, Meta(description="documents artifact, or JSONL and Parquet files")]
    label: Annotated[str, Meta(pattern=CLASS_NAME, description="label of all of them, such as hq")]
    output: Annotated[Path, Meta(description="text file to write: a line for each document, its label first")]
    overwrite: Annotated[bool, Meta(description="replace the output where it exists")] = False
    samples: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="documents to take, chosen by their ids; null takes all")
    ] = None
    seed: Annotated[int, Meta(ge=0, description="seed of the choice")] = 42
    text_field: Annotated[str, Meta(description="field that holds the text")] = "text"


@dataclass(frozen=True, kw_only=True)
class TrainClassifier:
    """Settings of ``nemo-curator train-classifier``."""

    files: Annotated[list[Path], Meta(description="text files of prepare-fasttext, with at least two labels")]
    output: Annotated[Path, Meta(description="fastText model to write (.bin)")]
    overwrite: Annotated[bool, Meta(description="replace the output where it exists")] = False
    dimension: Annotated[int, Meta(ge=1, le=1000, description="width of the vectors")] = 32
    word_ngrams: Annotated[int, Meta(ge=1, le=5, description="longest run of words that has a vector")] = 2
    buckets: Annotated[int, Meta(ge=1, description="vectors that n-grams share by their hashes")] = 500_000
    epochs: Annotated[int, Meta(ge=1, description="passes over the lines")] = 5
    rate: Annotated[float, Meta(gt=0, description="learning rate at the beginning; it falls to 0")] = 0.1
    min_count: Annotated[int, Meta(ge=1, description="rarer words have no vector of their own")] = 1
    validation_share: Annotated[float, Meta(ge=0, le=0.5, description="share of lines held out")] = 0.1
    seed: Annotated[int, Meta(ge=0, description="seed of vectors, order and hold-out")] = 42
    labels: Annotated[list[str], Meta(description="labels to learn; empty learns all of the files")] = field(
        default_factory=list
    )
