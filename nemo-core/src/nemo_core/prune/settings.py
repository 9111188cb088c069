"""Settings of `nemo-core prune`; this module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from ..foundation.errors import ConfigError

Count = Annotated[int, Meta(ge=1)]
SIZES = ("num_layers", "hidden_size", "ffn_size", "num_kv_heads")


@dataclass(frozen=True, kw_only=True)
class PruneSettings:
    """A model and text in, a smaller model out; at least one size is given."""

    model: Annotated[Path, Meta(description="checkpoint artifact, or a Hugging Face folder")]
    tokens: Annotated[Path, Meta(description="tokens artifact: its train split shows what matters")]
    output: Annotated[Path, Meta(description="folder of the smaller checkpoint to make")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    num_layers: Annotated[Count | None, Meta(description="layers to keep")] = None
    hidden_size: Annotated[Count | None, Meta(description="features of the residual stream to keep")] = None
    ffn_size: Annotated[Count | None, Meta(description="inner features of each feed-forward to keep")] = None
    num_kv_heads: Annotated[
        Count | None, Meta(description="key/value heads to keep, each with the query heads that share it")
    ] = None
    windows: Annotated[int, Meta(ge=1, description="windows of calibration text")] = 64
    sequence_length: Annotated[int, Meta(ge=2, description="tokens of a window")] = 256
    batch_size: Annotated[int, Meta(ge=1, description="windows computed at once")] = 8
    threads: Annotated[int, Meta(ge=0, description="CPU threads; 0: one per core")] = 0

    def __post_init__(self) -> None:
        if not self.sizes:
            raise ConfigError(f"nothing to prune: give at least one of {', '.join(SIZES)}")

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes that were given."""
        return {name: value for name in SIZES if (value := getattr(self, name)) is not None}
