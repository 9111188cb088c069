"""Weights saved rank by rank: one ``model_weights.ckpt`` or ``model_optim_rng.pt`` per model-parallel rank."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...foundation.errors import ArtifactError
from ...megatron.mapping import EXPERTS, LAYER, Entry
from .inert import load_inert
from .names import is_ignored, megatron_name
from .rank_experts import num_local_experts, numbered_expert, owner_of, with_experts_apart
from .source import EMBEDDING

RANK_FOLDER = re.compile(
    r"^(?:mp_rank_(?P<only>\d+)(?:_(?P<second>\d+))?(?:_(?P<third>\d+))?|tp_rank_(?P<tensor>\d+)_pp_rank_(?P<stage>\d+))$"
)
CHUNK = re.compile(r"^model(\d+)$")
State = dict[str, Tensor]


@dataclass(frozen=True, order=True)
class Place:
    """Which part of a model a rank holds."""

    tensor: int
    stage: int = 0
    expert: int = 0

    def __str__(self) -> str:
        expert = f", expert rank {self.expert}" if self.expert else ""
        return f"tensor rank {self.tensor} of stage {self.stage}{expert}"


class RankFiles:
    """The tensors of a folder of rank files; each file is mapped into memory, not read whole."""

    def __init__(self, folder: Path, file_name: str) -> None:
        self.folder = folder
        loaded = by_experts({place: load_chunks(path) for place, path in find_files(folder, file_name).items()})
        pipeline = 1 + max(place.stage for place in loaded)
        self.num_experts = 1 + max(place.expert for place in loaded)
        self.states = {
            replace(place, stage=number * pipeline + place.stage): with_experts_apart(
                chunk, ranks=self.num_experts, place=str(folder)
            )
            for place, chunks in loaded.items()
            for number, chunk in enumerate(chunks)
        }
        self.num_tensor = 1 + max(place.tensor for place in self.states)
        self.num_stages = 1 + max(place.stage for place in self.states)
        self.num_local = max(num_local_experts(state) for state in self.states.values())
        self.check_complete()

    def check_complete(self) -> None:
        """Raise ArtifactError naming the first rank whose file is not there."""
        wanted = [
            Place(tensor, stage, expert)
            for tensor in range(self.num_tensor)
            for stage in range(self.num_stages)
            for expert in range(self.num_experts)
        ]
        missing = [place for place in wanted if place not in self.states]
        if missing:
            hint = " (with experts cut otherwise than the rest, save as torch_dist)" if self.num_experts > 1 else ""
            raise ArtifactError(
                f"{self.folder}: lacks the file of {missing[0]}; a model-parallel checkpoint is one of all ranks{hint}"
            )

    @cached_property
    def first_layers(self) -> list[int]:
        """The number of the first layer of every stage: each stage counts its own from 0."""
        counts = [
            1
            + max(
                (int(name.split(".")[2]) for name in self.states[Place(0, stage)] if name.startswith(LAYER)), default=-1
            )
            for stage in range(self.num_stages)
        ]
        return [sum(counts[:stage]) for stage in range(self.num_stages)]

    def names(self) -> set[str]:
        """Names of all weights, layers and experts numbered through all ranks."""
        return {self.numbered(name, place) for place, state in self.states.items() for name in state}

    def numbered(self, name: str, place: Place) -> str:
        """A name of a rank's file with the numbers that layer and expert have in the whole model."""
        if not name.startswith(LAYER):
            return name
        number, _, rest = name.removeprefix(LAYER).partition(".")
        rest = numbered_expert(rest, rank=place.expert, num_local=self.num_local)
        return f"{LAYER}{int(number) + self.first_layers[place.stage]}.{rest}"

    def read(self, entry: Entry) -> Tensor:
        """The whole tensor of an entry, of all its tensor-parallel ranks."""
        return entry.join.unshard(self.shards(entry))

    def shards(self, entry: Entry) -> list[Tensor]:
        """What each tensor-parallel rank holds of an entry."""
        name, expert = entry.name, 0
        if entry.expert is not None:
            owner = owner_of(entry.expert, num_local=max(1, self.num_local))
            name, expert = entry.name.replace(EXPERTS, f"{EXPERTS}{owner.number}."), owner.rank
        for stage in range(self.num_stages):
            shift = 0 if entry.layer is None else entry.layer - self.first_layers[stage]
            held = name if entry.layer is None else f"{LAYER}{shift}.{name}"
            if held in self.states.get(Place(0, stage, expert), {}):
                return [self.states[Place(rank, stage, expert)][held] for rank in range(self.num_tensor)]
        raise ArtifactError(f"{self.folder}: lacks {entry.full_name!r}")

    def rows(self, name: str) -> int:
        """Rows of a tensor of the first stage that is shared along them."""
        return sum(len(self.states[Place(rank)][name]) for rank in range(self.num_tensor))

    def dtype(self, entry: Entry) -> torch.dtype:
        """The type of an entry's numbers."""
        return self.shards(entry)[0].dtype


def find_files(folder: Path, file_name: str) -> dict[Place, Path]:
    """The file of every rank; a second number is taken for that of a pipeline stage.

    Raises ArtifactError where there is none.
    """
    if (folder / file_name).is_file():
        return {Place(0): folder / file_name}
    found = {}
    for path in sorted(folder.glob(f"*/{file_name}")):
        match = RANK_FOLDER.match(path.parent.name)
        if match:
            tensor, stage = match["only"] or match["tensor"], match["second"] or match["stage"] or 0
            found[Place(int(tensor), int(stage), int(match["third"] or 0))] = path
    if not found:
        raise ArtifactError(f"{folder}: has no {file_name}, neither here nor in mp_rank_00 or tp_rank_00_pp_rank_000")
    return found


def by_experts(loaded: dict[Place, list[State]]) -> dict[Place, list[State]]:
    """The same, where the second number counts expert-parallel ranks, as in ``mp_rank_00_001`` of a run without
    pipeline: then every rank has an embedding, which only the first stage of a pipeline has.
    """
    second = [chunks for place, chunks in loaded.items() if place.stage > 0]
    is_of_experts = bool(second) and all(EMBEDDING in chunks[0] for chunks in second)
    if not is_of_experts:
        return loaded
    return {Place(place.tensor, 0, place.stage): chunks for place, chunks in loaded.items()}


def load_chunks(path: Path) -> list[State]:
    """The weights of one file by megatron.core's names: of one stage, or of each of several interleaved ones."""
    loaded = load_inert(path)
    numbered = sorted((int(match[1]), name) for name in loaded if (match := CHUNK.match(name)))
    if numbered:
        return [load_plain(loaded[name]) for _, name in numbered]
    return [load_plain(loaded.get("state_dict", loaded.get("model", loaded)))]


def load_plain(weights: Mapping[str, Any]) -> State:
    """The tensors among nested values, by megatron.core's names."""
    flat = {name: value for name, value in flattened(weights) if isinstance(value, Tensor) and not is_ignored(name)}
    return {megatron_name(name): value for name, value in flat.items()}


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values of nested dicts (older Megatron-LM nests a model's parts) under dotted names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
