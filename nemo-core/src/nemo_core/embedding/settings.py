"""Settings of `nemo-core embed` and `train-embedding`; this module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

Pooling = Literal["auto", "mean", "cls", "last"]


@dataclass(frozen=True, kw_only=True)
class EmbeddingModel:
    """The model that makes vectors, and how."""

    model: Annotated[Path, Meta(description="folder of an encoder (BERT) or of any decoder")]
    pooling: Annotated[
        Pooling,
        Meta(description="mean of all tokens, the first, or the last; auto: as the folder says, else mean or last"),
    ] = "auto"
    max_tokens: Annotated[int, Meta(ge=2, description="longer texts are cut")] = 256
    threads: Annotated[int, Meta(ge=0, description="CPU threads; 0: one per core")] = 0


@dataclass(frozen=True, kw_only=True)
class EmbedSettings(EmbeddingModel):
    """Texts in, a NumPy file of unit vectors out."""

    texts: Annotated[Path, Meta(description="JSONL file of texts")]
    field: Annotated[str, Meta(description="the key that holds the text")] = "text"
    output: Annotated[Path, Meta(description=".npy file to write, one row for each text")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    batch_size: Annotated[int, Meta(ge=1, description="texts computed at once")] = 32


@dataclass(frozen=True, kw_only=True)
class TrainEmbeddingSettings(EmbeddingModel):
    """Pairs of texts that belong together in, an embedding model out."""

    pairs: Annotated[Path, Meta(description="JSONL: query, positive, and perhaps negatives (a list); or conversations")]
    output: Annotated[Path, Meta(description="folder of the model to make; sentence-transformers reads it too")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    steps: Annotated[int, Meta(ge=1, description="optimizer steps")] = 200
    batch_size: Annotated[int, Meta(ge=2, description="pairs of a step; each is the others' negative")] = 32
    negatives: Annotated[int, Meta(ge=0, description="hard negatives of each query that a step uses, at most")] = 1
    temperature: Annotated[float, Meta(gt=0, description="similarities are divided by it")] = 0.05
    learning_rate: Annotated[float, Meta(gt=0, description="highest learning rate")] = 1e-4
    seed: Annotated[int, Meta(ge=0, description="order of the pairs, and dropout")] = 0
    save_every_s: Annotated[float, Meta(gt=0, description="seconds between saved states")] = 60.0
