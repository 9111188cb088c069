"""Settings of ``nemo-aligner dpo``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from .training import Training


@dataclass(frozen=True, kw_only=True)
class DpoSettings(Training):
    """Align a model with pairs of a better and a worse answer."""

    preferences: Annotated[Path, Meta(description="preferences artifact, or a JSONL file: prompt, chosen, rejected")]
    loss: Annotated[Literal["dpo", "ipo"], Meta(description="DPO on sums, or IPO on means, of token log-probs")] = "dpo"
    beta: Annotated[float, Meta(gt=0, description="strength of the pull to the reference")] = 0.1
    label_smoothing: Annotated[
        float, Meta(ge=0, lt=0.5, description="share of pairs thought to be the wrong way round (cDPO)")
    ] = 0.0
    sft_weight: Annotated[float, Meta(ge=0, description="weight of the chosen answer's own log-likelihood")] = 0.0
    epochs: Annotated[int, Meta(ge=1, description="passes over the pairs, where steps is not set")] = 1
    steps: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="updates; overrides epochs")] = None
    batch_size: Annotated[int, Meta(ge=1, description="pairs per update")] = 16
    validation_pairs: Annotated[int, Meta(ge=1, description="most held-out pairs to measure on, before and after")] = (
        128
    )
