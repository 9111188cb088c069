"""A megatron model from a Hugging Face folder, and back."""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint.folder import canonical, check_folder, load_config, some
from ..checkpoint.tensors import iterate_tensors
from ..foundation.errors import ArtifactError
from .degrees import ALONE, Degrees
from .model import MegatronDecoder
from .weights import load_weights


def load_megatron(folder: str | Path, *, degrees: Degrees = ALONE, dtype: torch.dtype = torch.float32) -> MegatronDecoder:
    """The model of a folder, each process its share; `process_groups` must be entered."""
    folder = check_folder(Path(folder))
    config = load_config(folder)
    model = MegatronDecoder(config, degrees=degrees, dtype=dtype)
    load_weights(model, reader(folder, canonical(iterate_tensors(folder), config)))
    return model


def reader(folder: Path, tensors: Iterable[tuple[str, Tensor]]) -> Callable[[str], Tensor]:
    """Canonical tensors by name. Raises ArtifactError for one that the folder lacks."""
    named = dict(tensors)

    def read(name: str) -> Tensor:
        if name not in named:
            raise ArtifactError(f"{folder}: lacks {name!r}, which config.json asks for; it has {some(sorted(named))}")
        return named[name]

    return read
