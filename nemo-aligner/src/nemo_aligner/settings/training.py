"""Settings that every algorithm shares: the policy's optimiser, its adapter, and what is kept while it trains."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

Schedule = Literal["cosine", "linear", "constant"]


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """LoRA: train a low-rank change of the weights instead of the weights; it is merged into the written model."""

    rank: Annotated[int, Meta(ge=0, description="rank of the change; 0 trains all weights")] = 0
    alpha: Annotated[float, Meta(gt=0, description="scale of the change, over the rank")] = 32.0


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """AdamW and its schedule."""

    learning_rate: Annotated[float, Meta(gt=0, description="peak learning rate")]
    weight_decay: Annotated[float, Meta(ge=0, description="decoupled weight decay")] = 0.0
    betas: Annotated[tuple[float, float], Meta(description="AdamW's two decay rates")] = (0.9, 0.98)
    max_grad_norm: Annotated[float, Meta(gt=0, description="gradients are scaled down to this norm")] = 1.0
    warmup_steps: Annotated[int, Meta(ge=0, description="steps of linear warm-up")] = 0
    schedule: Annotated[Schedule, Meta(description="shape of the learning rate after warm-up")] = "cosine"
    minimum_ratio: Annotated[float, Meta(ge=0, le=1, description="final learning rate over the peak")] = 0.1
