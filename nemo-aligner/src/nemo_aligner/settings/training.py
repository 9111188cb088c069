"""Settings that every algorithm shares: the policy, its optimiser and adapter, and where and how it runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

Schedule = Literal["cosine", "linear", "constant"]


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """LoRA: train a low-rank change of the weights instead of the weights; it is merged into the written model."""

    rank: Annotated[int, Meta(ge=0, description="rank of a LoRA change to train instead of the weights; 0: weights")] = 0
    alpha: Annotated[float, Meta(gt=0, description="scale of the LoRA change (divided by the rank)")] = 32.0


@dataclass(frozen=True, kw_only=True)
class Training:
    """What DPO and GRPO have in common."""

    model: Annotated[Path, Meta(description="checkpoint to align, a Hugging Face folder; also the reference")]
    output: Annotated[Path, Meta(description="folder to write the aligned checkpoint to")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    learning_rate: Annotated[float, Meta(gt=0, description="peak learning rate of AdamW")] = 1e-5
    weight_decay: Annotated[float, Meta(ge=0, description="decoupled weight decay")] = 0.0
    betas: Annotated[tuple[float, float], Meta(description="AdamW's two decay rates")] = (0.9, 0.98)
    max_grad_norm: Annotated[float, Meta(gt=0, description="gradients are scaled down to this norm")] = 1.0
    warmup_steps: Annotated[int, Meta(ge=0, description="steps of linear warm-up")] = 0
    schedule: Annotated[Schedule, Meta(description="course of the learning rate after warm-up")] = "cosine"
    minimum_ratio: Annotated[float, Meta(ge=0, le=1, description="final learning rate over its peak")] = 0.1
    adapter: Adapter = field(default_factory=Adapter)
    max_length: Annotated[int, Meta(ge=2, description="longest prompt with answer, in tokens")] | None = None
    micro_batch_tokens: Annotated[
        int, Meta(ge=1, description="padded tokens per forward pass; sets memory, not results")
    ] = 8192
    seed: Annotated[int, Meta(ge=0, description="order of data, sampling and adapter")] = 0
    cluster: Annotated[
        Literal["inline", "ray"], Meta(description="where roles run: in this process, or as Ray actors")
    ] = "inline"
    save_every: Annotated[int, Meta(ge=1, description="steps between saves of the state a killed run continues from")] = (
        25
    )
