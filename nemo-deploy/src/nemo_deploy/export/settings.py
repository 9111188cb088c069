"""Settings of ``nemo-deploy export``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

DtypeName = Literal["keep", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """A checkpoint (and an adapter to merge) in, a checked Hugging Face folder out."""

    model: Annotated[Path, Meta(description="checkpoint or Hugging Face folder to export")]
    output: Annotated[Path, Meta(description="folder of the exported artifact to make")]
    adapter: Annotated[Path | None, Meta(description="LoRA adapter folder to merge into the weights")] = None
    dtype: Annotated[DtypeName, Meta(description="number format of the written weights; keep: the source's")] = "keep"
    tolerance: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="largest logit difference accepted; default: 1e-4, in bf16 beside weights rounded to it"),
    ] = None
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
