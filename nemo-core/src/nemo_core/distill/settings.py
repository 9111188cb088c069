"""Settings of `nemo-core distill`; this module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from ..train.settings import PretrainSettings


@dataclass(frozen=True, kw_only=True)
class TeacherTask:
    """Whom a student learns from, and how."""

    teacher: Annotated[Path, Meta(description="the teacher's folder; it has the tokenizer that made the tokens")]
    temperature: Annotated[float, Meta(gt=0, description="softens both distributions")] = 1.0
    mixture: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="0: KL(teacher || student); 1: KL(student || teacher); between: Jensen-Shannon, GKD's beta",
        ),
    ] = 0.0
    share: Annotated[
        float, Meta(gt=0, le=1, description="of the teacher's distribution in the loss; the rest is the text itself")
    ] = 1.0
    hidden_weight: Annotated[
        float, Meta(ge=0, description="weight of the distance to the teacher's last hidden states; equal widths only")
    ] = 0.0
    layer_weight: Annotated[
        float, Meta(ge=0, description="the same of the states after each layer, matched by share of the depth")
    ] = 0.0
    attention_weight: Annotated[float, Meta(ge=0, description="the same of what each layer's attention gives")] = 0.0


@dataclass(frozen=True, kw_only=True)
class DistillSettings(PretrainSettings, TeacherTask):
    """Pretraining whose targets come from a teacher; the student is `continue_from`, or a new model of `size`."""
