"""Settings that every algorithm shares: the policy, its optimiser and adapter, and where and how it runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from nemo_core.train.settings import OptimizerSettings, ScheduleSettings


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """LoRA: train a low-rank change of the weights instead of the weights; it is merged into the written model."""

    rank: Annotated[
        int, Meta(ge=0, description="rank of a LoRA change to train instead of the weights; 0: weights")
    ] = 0
    alpha: Annotated[float, Meta(gt=0, description="scale of the LoRA change (divided by the rank)")] = 32.0
    method: Annotated[
        Literal["lora", "dora"], Meta(description="dora: the length of each output's weights is learnt as well")
    ] = "lora"


@dataclass(frozen=True, kw_only=True)
class Training:
    """What DPO and GRPO have in common."""

    model: Annotated[Path, Meta(description="checkpoint to align, a Hugging Face folder; also the reference")]
    output: Annotated[Path, Meta(description="folder to write the aligned checkpoint to")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    learning_rate: Annotated[
        float, Meta(gt=0, description="highest learning rate; for a few million weights, 1e-6 for billions")
    ] = 3e-4
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(weight_decay=0.0))
    adapter: Adapter = field(default_factory=Adapter)
    max_length: Annotated[
        Annotated[int, Meta(ge=2)] | None, Meta(description="longest prompt with answer, in tokens")
    ] = None
    micro_batch_tokens: Annotated[
        int, Meta(ge=1, description="padded tokens per forward pass; sets memory, not results")
    ] = 8192
    seed: Annotated[int, Meta(ge=0, description="order of data, sampling and adapter")] = 0
    cluster: Annotated[
        Literal["inline", "ray"], Meta(description="where roles run: in this process, or as Ray actors")
    ] = "inline"
    save_every: Annotated[
        int, Meta(ge=1, description="steps between saves of the state a killed run continues from")
    ] = 25
