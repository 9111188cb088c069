"""Settings of `nemo-core distill`; this module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from ..train.settings import LearningSettings, RunSettings


@dataclass(frozen=True, kw_only=True)
class DistillTask:
    """What distillation reads and makes."""

    model: Annotated[Path, Meta(description="the student: checkpoint artifact, or a Hugging Face folder")]
    teacher: Annotated[Path, Meta(description="the teacher, with the same tokenizer")]
    tokens: Annotated[Path, Meta(description="tokens artifact to learn from")]
    output: Annotated[Path, Meta(description="folder of the checkpoint to make")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    temperature: Annotated[float, Meta(gt=0, description="softens both distributions")] = 1.0
    share: Annotated[
        float, Meta(gt=0, le=1, description="of the teacher's distribution in the loss; the rest is the text itself")
    ] = 1.0
    hidden_weight: Annotated[
        float, Meta(ge=0, description="weight of the distance to the teacher's last hidden states; equal widths only")
    ] = 0.0
    separate_documents: Annotated[
        bool, Meta(description="documents that share a window do not see each other (slower on CPU)")
    ] = False


@dataclass(frozen=True, kw_only=True)
class DistillSettings(RunSettings, LearningSettings, DistillTask):
    """A student, a teacher and tokens in, a better student out."""

    learning_rate: Annotated[float, Meta(gt=0, description="highest learning rate")] = 1e-3
