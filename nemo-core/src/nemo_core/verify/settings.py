"""Settings of `nemo-core verify`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

Name = Literal["megatron", "transformers"]


@dataclass(frozen=True, kw_only=True)
class VerifySettings:
    """A checkpoint in, differences between implementations out."""

    model: Annotated[Path, Meta(description="checkpoint artifact, or a Hugging Face folder")]
    against: Annotated[
        tuple[Name, ...], Meta(min_length=1, description="implementations that are compared with the native one")
    ] = ("megatron", "transformers")
    tolerance: Annotated[
        float, Meta(gt=0, description="largest difference of a logit, in float32; of hidden states, per unit of size")
    ] = 5e-5
    rows: Annotated[int, Meta(ge=1, description="sequences of random tokens")] = 2
    length: Annotated[int, Meta(ge=2, description="tokens of each; shortened to the positions of the model")] = 64
    seed: Annotated[int, Meta(ge=0, description="of the random tokens")] = 0
    threads: Annotated[int, Meta(ge=0, description="CPU threads; 0: one per core")] = 0
