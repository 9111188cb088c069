"""The layouts that models are converted between.

A layout is a module with three functions: `recognises(folder)`, `open_source(folder, hints)`, which gives canonical
tensors one at a time, and `write(source, config, folder, settings)`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ..config import ModelConfig
from ..foundation.backend import Backend, load_backend
from ..foundation.errors import ArtifactError
from .reader import TensorInfo
from .settings import ConvertSettings

FORMATS = {
    "hf": Backend(module="nemo_core.checkpoint.hf_format"),
    "nemo": Backend(module="nemo_core.checkpoint.foreign.nemo_format"),
    "megatron": Backend(module="nemo_core.checkpoint.foreign.megatron_format"),
}


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What a layout may leave open: a folder whose config.json describes the model; tokens that are no padding."""

    config: Path | None = None
    vocab_size: int | None = None


NO_HINTS = Hints()


class Source(Protocol):
    """A model whose canonical tensors are made when asked for."""

    @property
    def folder(self) -> Path:
        """Where it lies; tokenizer files are beside it."""

    @property
    def config(self) -> ModelConfig:
        """What it is."""

    def info(self, name: str) -> TensorInfo:
        """Shape and type of a canonical tensor."""

    def canonical(self, name: str) -> Tensor:
        """A canonical tensor; asked for in the order in which `shapes.tensor_specs` lists them, or nearly."""


class Format(Protocol):
    """A layout."""

    recognises: Callable[[Path], bool]
    open_source: Callable[[Path, Hints], Source]
    write: Callable[[Source, ModelConfig, Path, ConvertSettings], None]


def find_format(name: str) -> Any:
    """The module of a layout, a `Format`; ConfigError for an unknown one, MissingBackend for a missing library."""
    return load_backend("format", name, FORMATS, package="nemo-core")


def open_source(folder: Path, name: str = "auto", hints: Hints = NO_HINTS) -> Source:
    """The model in `folder`. Raises ArtifactError where no known layout is recognised."""
    if not folder.exists():
        raise ArtifactError(f"{folder}: no such file or folder")
    if name == "auto":
        name = next((known for known in FORMATS if find_format(known).recognises(folder)), "")
        if not name:
            raise ArtifactError(f"{folder}: in none of the known formats ({', '.join(FORMATS)}); name source_format")
    source: Source = find_format(name).open_source(folder, hints)
    return source
