"""Settings of ``nemo-aligner grpo``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from .reward import DEFAULT_REWARDS, RewardUse
from .training import Training


@dataclass(frozen=True, kw_only=True)
class GrpoSettings(Training):
    """Align a model by sampling answers and reinforcing those that score better than the others of their group."""

    conversations: Annotated[Path, Meta(description="conversations artifact, or a JSONL file: prompts to answer")]
    rewards: Annotated[tuple[RewardUse, ...], Meta(description="mixture of rewards, each {use, weight, options}")] = (
        DEFAULT_REWARDS
    )
    steps: Annotated[int, Meta(ge=1, description="rollouts, each with its update")] = 60
    prompts_per_step: Annotated[int, Meta(ge=1, description="prompts answered in a step")] = 8
    group_size: Annotated[int, Meta(ge=2, description="answers to each prompt, compared with each other")] = 8
    updates_per_rollout: Annotated[int, Meta(ge=1, description="optimiser steps on each step's samples")] = 1
    max_tokens: Annotated[int, Meta(ge=1, description="longest answer, in tokens")] = 48
    temperature: Annotated[float, Meta(gt=0, description="of sampling, and of the log-probs trained on")] = 0.6
    kl_beta: Annotated[float, Meta(ge=0, description="weight of the divergence from the reference; 0: none")] = 0.05
    divergence: Annotated[Literal["k1", "k2", "k3"], Meta(description="estimator of that divergence")] = "k3"
    clip_low: Annotated[float, Meta(gt=0, lt=1, description="lower bound of the ratio, as 1 - this")] = 0.2
    clip_high: Annotated[float, Meta(gt=0, description="upper bound of the ratio, as 1 + this")] = 0.28
    aggregation: Annotated[
        Literal["token-mean", "seq-mean", "const"],
        Meta(description="mean over tokens, over sequences, or over sequences x max_tokens"),
    ] = "token-mean"
    scale_by_std: Annotated[bool, Meta(description="divide advantages by the group's standard deviation")] = True
    ddof: Annotated[Literal[0, 1], Meta(description="1: unbiased standard deviation; 0: biased")] = 1
    epsilon: Annotated[float, Meta(gt=0, description="added to the standard deviation")] = 1e-4
    generators: Annotated[int, Meta(ge=1, description="workers that sample (with cluster: ray)")] = 1
    validation_prompts: Annotated[
        int, Meta(ge=1, description="most held-out prompts to measure on, before and after")
    ] = 64
