"""Settings of ``nemo-aligner evaluate``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from .reward import DEFAULT_REWARDS, RewardUse


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """Measure models side by side on the same held-out data."""

    models: Annotated[dict[str, Path], Meta(min_length=1, description="checkpoints by the name to show, in order")]
    conversations: Annotated[Path, Meta(description="conversations artifact, or a JSONL file")]
    preferences: Annotated[
        Path | None, Meta(description="preferences artifact or JSONL file, for preference accuracy")
    ] = None
    tokens: Annotated[Path | None, Meta(description="tokens artifact, for perplexity on its validation part")] = None
    output: Annotated[Path, Meta(description="folder to write the evaluation artifact to")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    rewards: Annotated[tuple[RewardUse, ...], Meta(description="mixture of rewards, each {use, weight, options}")] = (
        DEFAULT_REWARDS
    )
    max_tokens: Annotated[int, Meta(ge=1, description="longest answer, in tokens")] = 64
    temperature: Annotated[float, Meta(ge=0, description="of the answers; 0 always takes the likeliest token")] = 0.0
    questions: Annotated[int, Meta(ge=1, description="most held-out questions to answer")] = 64
    pairs: Annotated[int, Meta(ge=1, description="most held-out pairs to compare")] = 128
    samples: Annotated[
        int, Meta(ge=1, description="held-out answers to show; and half as many to training questions")
    ] = 8
    max_length: Annotated[
        Annotated[int, Meta(ge=2)] | None, Meta(description="longest prompt with answer, in tokens")
    ] = None
    perplexity_tokens: Annotated[int, Meta(ge=2, description="most validation tokens to read")] = 50_000
    micro_batch_tokens: Annotated[int, Meta(ge=1, description="padded tokens per forward pass")] = 8192
    seed: Annotated[int, Meta(ge=0, description="of sampled answers")] = 0
