"""Settings of `nemo-core train-classifier` and `train-reward`; this module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from ..foundation.errors import ConfigError
from ..peft.settings import LEARNING_RATES, MergedAdapterChoice
from ..train.settings import Device, Dtype, TuningSettings


@dataclass(frozen=True, kw_only=True)
class ScoringTask:
    """What learns to score, and where it is written."""

    model: Annotated[Path, Meta(description="folder of a language model, or of a scoring model to go on from")]
    output: Annotated[Path, Meta(description="folder of the ...ForSequenceClassification checkpoint to make")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    epochs: Annotated[float, Meta(gt=0, description="passes over the data, where steps is 0")] = 3.0
    validation_share: Annotated[
        float, Meta(ge=0, lt=1, description="share held out where the data have no validation split")
    ] = 0.1


@dataclass(frozen=True, kw_only=True)
class ScoringSettings(TuningSettings, MergedAdapterChoice, ScoringTask):
    """What both commands share."""

    @property
    def peak_learning_rate(self) -> float:
        """The highest learning rate, defaults resolved."""
        return self.learning_rate or LEARNING_RATES[self.method]


@dataclass(frozen=True, kw_only=True)
class ClassifierTask:
    """What a classifier learns from."""

    texts: Annotated[
        Path,
        Meta(description="JSONL file of texts with their classes, or folder with train.jsonl and validation.jsonl"),
    ]
    text: Annotated[str, Meta(min_length=1, description="key of the text; its value may be a list of messages")] = (
        "text"
    )
    label: Annotated[str, Meta(min_length=1, description="key of the class")] = "label"
    labels: Annotated[
        tuple[str, ...], Meta(description="all classes, in the order of the scores; none: those found, sorted")
    ] = ()


@dataclass(frozen=True, kw_only=True)
class TrainClassifierSettings(ScoringSettings, ClassifierTask):
    """A language model and texts with classes in, a classifier out."""


@dataclass(frozen=True, kw_only=True)
class TrainRewardSettings(ScoringSettings):
    """A language model and preferences in, a model that scores answers out."""

    preferences: Annotated[
        Path, Meta(description="preferences artifact, or JSONL file or folder: prompt, chosen, rejected, maybe margin")
    ]
    center_weight: Annotated[
        float, Meta(ge=0, description="weight of the squared sum of a pair's scores, which holds them around 0")
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class ClassifySettings:
    """A classifier or reward model and texts in, a file with what it says of each out."""

    model: Annotated[Path, Meta(description="...ForSequenceClassification folder, such as train-classifier makes")]
    texts: Annotated[
        Path, Meta(description="documents or conversations artifact, or JSONL or Parquet file, folder or URL")
    ]
    output: Annotated[Path, Meta(description=".jsonl or .parquet file to write, one row for each text, in order")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    field: Annotated[str, Meta(min_length=1, description="key of the text, or of a list of messages")] = "text"
    batch_size: Annotated[int, Meta(ge=1, description="texts computed at once")] = 16
    max_tokens: Annotated[int, Meta(ge=0, description="longer texts are cut; 0: at the model's positions")] = 0
    device: Annotated[Device, Meta(description="auto: cuda where there is one")] = "auto"
    dtype: Annotated[Dtype, Meta(description="of matrix products. auto: bfloat16 on cuda")] = "auto"
    threads: Annotated[int, Meta(ge=0, description="CPU threads; 0: one per core")] = 0

    def __post_init__(self) -> None:
        if self.output.suffix not in (".jsonl", ".parquet"):
            raise ConfigError(f"output={self.output}: a file named .jsonl or .parquet is written")
