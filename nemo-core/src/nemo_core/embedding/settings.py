"""Settings of `nemo-core embed` and `train-embedding`; this module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from ..peft.settings import LEARNING_RATES, MergedAdapterChoice
from ..train.settings import Device, Dtype, TuningSettings

FULL_LEARNING_RATE = 1e-4  # a tenth of that of language models: what is learnt is small beside what is there
Count = Annotated[int, Meta(ge=1)]
Pooling = Literal["auto", "mean", "cls", "last"]


@dataclass(frozen=True, kw_only=True)
class EmbeddingModel:
    """The model that makes vectors, and how."""

    model: Annotated[Path, Meta(description="folder of an encoder (BERT) or of any decoder")]
    pooling: Annotated[
        Pooling,
        Meta(description="mean of all tokens, the first, or the last; auto: as the folder says, else mean or last"),
    ] = "auto"


@dataclass(frozen=True, kw_only=True)
class EmbedSettings(EmbeddingModel):
    """Texts in, a NumPy file of unit vectors out."""

    texts: Annotated[Path, Meta(description="JSONL file of texts")]
    field: Annotated[str, Meta(description="the key that holds the text")] = "text"
    output: Annotated[Path, Meta(description=".npy file to write, one row for each text")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    batch_size: Annotated[int, Meta(ge=1, description="texts computed at once")] = 32
    max_tokens: Annotated[int, Meta(ge=2, description="longer texts are cut")] = 256
    device: Annotated[Device, Meta(description="auto: cuda where there is one")] = "auto"
    dtype: Annotated[Dtype, Meta(description="of matrix products. auto: bfloat16 on cuda")] = "auto"
    threads: Annotated[int, Meta(ge=0, description="CPU threads; 0: one per core")] = 0


@dataclass(frozen=True, kw_only=True)
class EmbeddingTask(EmbeddingModel):
    """What an embedding model learns from, and where it is written."""

    pairs: Annotated[Path, Meta(description="JSONL: query, positive, and perhaps negatives (a list); or conversations")]
    output: Annotated[Path, Meta(description="folder of the model to make; sentence-transformers reads it too")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    epochs: Annotated[float, Meta(gt=0, description="passes over the pairs, where steps is 0")] = 3.0
    validation_share: Annotated[float, Meta(ge=0, lt=1, description="share of the pairs held out")] = 0.05
    negatives: Annotated[int, Meta(ge=0, description="hard negatives of each query that a step uses, at most")] = 1
    temperature: Annotated[float, Meta(gt=0, description="similarities are divided by it")] = 0.05
    symmetric: Annotated[bool, Meta(description="learn to find each positive's query as well")] = False
    widths: Annotated[
        tuple[Count, ...],
        Meta(description="learn for vectors cut to these widths, too (Matryoshka); none: whole vectors only"),
    ] = ()


@dataclass(frozen=True, kw_only=True)
class TrainEmbeddingSettings(TuningSettings, MergedAdapterChoice, EmbeddingTask):
    """Pairs of texts that belong together in, an embedding model out."""

    batch_size: Annotated[
        int, Meta(ge=2, description="pairs of a step, over all processes; each is the others' negative")
    ] = 32
    micro_batch_size: Annotated[
        int,
        Meta(ge=0, description="pairs whose activations are kept at once; 0: all. Bounds memory, not what is learnt"),
    ] = 0
    sequence_length: Annotated[int, Meta(ge=2, description="tokens of a text; longer ones are cut")] = 256
    learning_rate: Annotated[float, Meta(ge=0, description="highest learning rate; 0: what suits the method")] = 0.0

    @property
    def peak_learning_rate(self) -> float:
        """The highest learning rate, defaults resolved."""
        return self.learning_rate or (FULL_LEARNING_RATE if self.method == "full" else LEARNING_RATES[self.method])
