"""A megatron model from a Hugging Face folder."""

from pathlib import Path

import torch

from ..checkpoint.folder import open_model
from .degrees import ALONE, Degrees
from .model import MegatronDecoder
from .weights import load_weights


def load_megatron(
    folder: str | Path, *, degrees: Degrees = ALONE, dtype: torch.dtype = torch.float32
) -> MegatronDecoder:
    """The model of a folder, each process its share, read tensor by tensor; `process_groups` must be entered."""
    source = open_model(Path(folder), to_compute=True)
    model = MegatronDecoder(source.config, degrees=degrees, dtype=dtype)
    load_weights(model, source.canonical)
    return model
