"""megatron.core's ``torch_dist`` folders and Megatron-LM's folders of ranks; the former also to convert to."""

from collections.abc import Iterator
from pathlib import Path

import torch

from ...config import ModelConfig
from ...foundation import atomic
from ...foundation.progress import Progress
from ...shapes import tensor_specs
from ..folder import write_config
from ..formats import NO_HINTS, Hints, Source
from ..hf_format import written_type
from ..settings import ConvertSettings
from ..tensors import dtype_name
from .opening import MEGATRON_WEIGHTS, TRACKER, Foreign, open_foreign
from .stacked import stacked_tensors
from .torch_dist import INDEX, StoredTensor, write_torch_dist

RELEASE = "release"


def recognises(folder: Path) -> bool:
    """Whether this is such a folder."""
    return (folder / TRACKER).is_file() or (folder / INDEX).is_file() or any(folder.glob(f"*/{MEGATRON_WEIGHTS}"))


def open_source(folder: Path, hints: Hints = NO_HINTS) -> Foreign:
    """The checkpoint's tensors, checked against what it says of its model."""
    return open_foreign(folder, hints)


def write(source: Source, config: ModelConfig, folder: Path, settings: ConvertSettings) -> None:
    """Write what Megatron-LM loads with ``--load`` as a release, and the model's config.json beside it.

    One tensor of Megatron and its parts are in memory at a time.
    """
    types = {
        name: written_type(source.info(name), settings, trained=spec.trained)
        for name, spec in tensor_specs(config).items()
    }
    total = sum(types[name].itemsize * torch.Size(spec.shape).numel() for name, spec in tensor_specs(config).items())
    with Progress("convert", total=total, unit="B") as progress:

        def counted() -> Iterator[StoredTensor]:
            for stored in stacked_tensors(config, lambda name: source.canonical(name).to(types[name])):
                yield stored
                progress.advance(stored.tensor.nbytes)

        write_torch_dist(folder / RELEASE, counted(), common={"checkpoint_version": 3.0, "iteration": 0})
    atomic.write_text(folder / TRACKER, f"{RELEASE}\n")
    write_config(config, folder, dtype=dtype_name(types["model.embed_tokens.weight"]))
