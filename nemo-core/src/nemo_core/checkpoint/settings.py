"""Settings of the commands that look at and convert model folders; this module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True, kw_only=True)
class InspectSettings:
    """``nemo-core inspect``."""

    model: Annotated[
        Path, Meta(description="model folder, training state (state/ or a step of it), or .partial folder of a run")
    ]


@dataclass(frozen=True, kw_only=True)
class ConvertSettings:
    """``nemo-core convert``: weights stay what they are, number by number, unless `dtype` rounds them."""

    model: Annotated[Path, Meta(description="model to convert")]
    output: Annotated[Path, Meta(description="folder of the converted model")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    source_format: Annotated[
        str,
        Meta(description="layout of the model: hf (Hugging Face folder), nemo, megatron; auto: told from its files"),
    ] = "auto"
    format: Annotated[str, Meta(description="layout to write: hf, megatron (torch_dist)")] = "hf"
    config: Annotated[
        Path | None, Meta(description="megatron, nemo: folder with the config.json of the model, where it names none")
    ] = None
    vocab_size: Annotated[
        Count | None, Meta(description="megatron, nemo: rows of the embedding that are tokens, the rest being padding")
    ] = None
    optimizer: Annotated[
        bool,
        Meta(
            description="megatron, nemo to hf: also write the optimizer's float32 weights and moments (state/), for "
            "pretrain continue_from=... take_up=optimizer"
        ),
    ] = False
    family: Annotated[str | None, Meta(description="hf: another family's names and layout, e.g. llama")] = None
    dtype: Annotated[
        Literal["keep", "float32", "bfloat16", "float16"], Meta(description="type of the weights that are written")
    ] = "keep"
    max_shard_gib: Annotated[float, Meta(gt=0, description="hf: largest file; a larger tensor has its own")] = 5.0


@dataclass(frozen=True, kw_only=True)
class DiffSettings:
    """``nemo-core diff``: ends with 1 where the models differ."""

    first: Annotated[Path, Meta(description="model folder")]
    second: Annotated[Path, Meta(description="model folder to compare it with")]
    limit: Annotated[int, Meta(ge=1, description="tensors that are listed, largest difference first")] = 20
    tolerance: Annotated[float, Meta(ge=0, description="largest difference of a number that counts as none")] = 0.0
