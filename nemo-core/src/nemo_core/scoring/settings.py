"""Settings of `nemo-core train-classifier` and `train-reward`; this module imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError
from ..peft.settings import LEARNING_RATES, Ia3Settings, LoraSettings
from ..train.settings import TuningSettings


@dataclass(frozen=True, kw_only=True)
class ScoringTask:
    """What learns to score, and where it is written."""

    model: Annotated[Path, Meta(description="checkpoint artifact or Hugging Face folder of a language model")]
    output: Annotated[Path, Meta(description="folder of the ...ForSequenceClassification checkpoint to make")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    epochs: Annotated[float, Meta(gt=0, description="passes over the data, where steps is 0")] = 3.0
    validation_share: Annotated[
        float, Meta(ge=0, lt=1, description="share held out where the data have no validation split")
    ] = 0.1
    method: Annotated[
        Literal["full", "lora", "dora", "ia3"],
        Meta(description="what learns beside the new head: every weight, or an adapter, merged in the end"),
    ] = "full"
    lora: LoraSettings = field(default_factory=LoraSettings)
    ia3: Ia3Settings = field(default_factory=Ia3Settings)

    def __post_init__(self) -> None:
        if self.lora.quantize != "none":
            raise ConfigError(
                f"lora.quantize={self.lora.quantize}: the adapter of a scoring model is merged, which needs whole "
                "weights; leave it at none"
            )


@dataclass(frozen=True, kw_only=True)
class ScoringSettings(TuningSettings, ScoringTask):
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
        Path, Meta(description="preferences artifact, or JSONL file or folder: prompt, chosen, rejected")
    ]
