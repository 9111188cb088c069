"""Weights saved rank by rank: one ``model_weights.ckpt`` or ``model_optim_rng.pt`` per model-parallel rank."""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...foundation.errors import ArtifactError
from ...megatron.mapping import LAYER, Entry
from .inert import load_inert
from .names import is_ignored, megatron_name

RANK_FOLDER = re.compile(
    r"^(?:mp_rank_(?P<only>\d+)(?:_(?P<stage_of>\d+))?|tp_rank_(?P<tensor>\d+)_pp_rank_(?P<stage>\d+))$"
)


class RankFiles:
    """The tensors of a folder of rank files; each file is mapped into memory, not read whole."""

    def __init__(self, folder: Path, file_name: str) -> None:
        self.folder = folder
        self.files = find_files(folder, file_name)
        self.states = {place: load_plain(path) for place, path in self.files.items()}
        self.num_tensor = 1 + max(tensor for tensor, _ in self.states)
        self.num_stages = 1 + max(stage for _, stage in self.states)
        missing = [
            f"tensor rank {tensor} of stage {stage}"
            for tensor in range(self.num_tensor)
            for stage in range(self.num_stages)
            if (tensor, stage) not in self.states
        ]
        if missing:
            raise ArtifactError(
                f"{folder}: lacks the file of {missing[0]}; a model-parallel checkpoint is one of all ranks"
            )

    @cached_property
    def first_layers(self) -> list[int]:
        """The number of the first layer of every stage: each stage counts its own from 0."""
        counts = [
            1 + max((int(name.split(".")[2]) for name in self.states[0, stage] if name.startswith(LAYER)), default=-1)
            for stage in range(self.num_stages)
        ]
        return [sum(counts[:stage]) for stage in range(self.num_stages)]

    def names(self) -> set[str]:
        """Names of all weights, layers numbered through all stages."""
        return {self.numbered(name, stage) for (_, stage), state in self.states.items() for name in state}

    def numbered(self, name: str, stage: int) -> str:
        """A name of a stage's file with the number that the layer has in the whole model."""
        if not name.startswith(LAYER):
            return name
        number, _, rest = name.removeprefix(LAYER).partition(".")
        return f"{LAYER}{int(number) + self.first_layers[stage]}.{rest}"

    def read(self, entry: Entry) -> Tensor:
        """The whole tensor of an entry, of all its tensor-parallel ranks."""
        return entry.join.unshard(self.shards(entry))

    def shards(self, entry: Entry) -> list[Tensor]:
        """What each tensor-parallel rank holds of an entry."""
        for stage in range(self.num_stages):
            shift = 0 if entry.layer is None else entry.layer - self.first_layers[stage]
            name = entry.name if entry.layer is None else f"{LAYER}{shift}.{entry.name}"
            if name in self.states[0, stage]:
                return [self.states[rank, stage][name] for rank in range(self.num_tensor)]
        raise ArtifactError(f"{self.folder}: lacks {entry.full_name!r}")

    def rows(self, name: str) -> int:
        """Rows of a tensor of the first stage that is shared along them."""
        return sum(len(self.states[rank, 0][name]) for rank in range(self.num_tensor))

    def dtype(self, entry: Entry) -> torch.dtype:
        """The type of an entry's numbers."""
        return self.shards(entry)[0].dtype


def find_files(folder: Path, file_name: str) -> dict[tuple[int, int], Path]:
    """The file of every (tensor rank, pipeline stage). Raises ArtifactError where there is none."""
    if (folder / file_name).is_file():
        return {(0, 0): folder / file_name}
    found = {}
    for path in sorted(folder.glob(f"*/{file_name}")):
        match = RANK_FOLDER.match(path.parent.name)
        if match:
            tensor, stage = match["only"] or match["tensor"], match["stage_of"] or match["stage"] or 0
            found[int(tensor), int(stage)] = path
    if not found:
        raise ArtifactError(f"{folder}: has no {file_name}, neither here nor in mp_rank_00 or tp_rank_00_pp_rank_000")
    return found


def load_plain(path: Path) -> dict[str, Tensor]:
    """The weights of one file, by megatron.core's names."""
    loaded = load_inert(path)
    weights = loaded.get("state_dict", loaded.get("model", loaded))
    flat = {name: value for name, value in flattened(weights) if isinstance(value, Tensor) and not is_ignored(name)}
    return {megatron_name(name): value for name, value in flat.items()}


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values of nested dicts (older Megatron-LM nests a model's parts) under dotted names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
