"""Settings `fp8.*` of the megatron implementation; imports nothing heavy."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class Fp8Settings:
    """Matrix products of the layers in eight bits, by Transformer Engine on a GPU."""

    format: Annotated[
        Literal["none", "hybrid", "e4m3"], Meta(description="hybrid: e5m2 for gradients; needs implementation=megatron")
    ] = "none"
    recipe: Annotated[
        Literal["tensorwise", "delayed", "blockwise", "mxfp8"],
        Meta(description="how numbers are scaled; blockwise: Hopper, mxfp8: Blackwell"),
    ] = "tensorwise"


NO_FP8 = Fp8Settings()
