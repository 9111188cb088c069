"""A Megatron checkpoint of any layout as canonical tensors, one at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ...config import ModelConfig
from ...foundation.errors import ArtifactError
from ...foundation.settings import did_you_mean
from ...megatron.joins import PaddedRows
from ...megatron.mapping import Entry, entries
from ...shapes import tensor_specs

EMBEDDING, HEAD = "embedding.word_embeddings.weight", "output_layer.weight"


class MegatronTensors(Protocol):
    """Whole tensors under megatron.core's names, wherever they lie."""

    folder: Path

    def names(self) -> set[str]:
        """Names of all weights, each layer by itself."""

    def read(self, entry: Entry) -> Tensor:
        """The whole tensor of an entry."""

    def rows(self, name: str) -> int:
        """Rows of a tensor, of all ranks together."""

    def dtype(self, entry: Entry) -> torch.dtype:
        """The type of an entry's numbers."""


class MegatronSource:
    """The canonical tensors of a checkpoint; of an optimizer those that are `trained`.

    Raises ArtifactError where it lacks a tensor that the config asks for, or has one without a place.
    """

    def __init__(self, tensors: MegatronTensors, config: ModelConfig, *, trained: bool = False) -> None:
        self.tensors, self.config = tensors, config
        names = tensors.names()
        if EMBEDDING not in names:
            raise ArtifactError(f"{tensors.folder}: has no {EMBEDDING!r}, so it holds no GPT model of Megatron")
        rows = tensors.rows(EMBEDDING)
        if rows < config.vocab_size:
            raise ArtifactError(f"{tensors.folder}: {EMBEDDING!r} has {rows} rows, vocab_size={config.vocab_size}")
        specs = tensor_specs(config)
        self.table = [
            entry
            for entry in entries(config, vocabulary=rows)
            if not trained or all(specs[part].trained for part in entry.parts)
        ]
        check_names(names - self.copies(names, rows), {entry.full_name for entry in self.table}, tensors.folder)
        self.shapes = {name: spec.shape for name, spec in specs.items()}
        self.places = {part: entry for entry in self.table for part in entry.parts}
        self.latest: tuple[Entry, dict[str, Tensor]] | None = None

    def copies(self, names: set[str], rows: int) -> set[str]:
        """The output head of a model with tied embeddings, where the last stage of a pipeline has a copy of them.

        Raises ArtifactError where it is none.
        """
        if not self.config.tied_embeddings or HEAD not in names:
            return set()
        join = PaddedRows(self.config.vocab_size, rows)
        head, embedding = (self.tensors.read(Entry(name, (), join)) for name in (HEAD, EMBEDDING))
        if not torch.equal(head, embedding):
            raise ArtifactError(
                f"{self.tensors.folder}: {HEAD!r} differs from {EMBEDDING!r}, but the model is one with tied embeddings"
            )
        return {HEAD}

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """Every canonical tensor."""
        for entry in self.table:
            yield from self.parts(entry).items()

    def dtype(self, name: str) -> torch.dtype:
        """The type of a canonical tensor's numbers."""
        return self.tensors.dtype(self.places[name])

    def read(self, name: str) -> Tensor:
        """One canonical tensor. Those of one Megatron tensor are best read in a row."""
        entry = self.places[name]
        if self.latest is None or self.latest[0] is not entry:
            self.latest = entry, self.parts(entry)
        return self.latest[1][name]

    def parts(self, entry: Entry) -> dict[str, Tensor]:
        """The canonical tensors in one of Megatron's, in the shapes that the config asks for."""
        whole = self.tensors.read(entry)
        expected = sum(self.shapes[part][0] for part in entry.parts)
        if entry.name not in (EMBEDDING, HEAD) and len(whole) != expected:
            raise ArtifactError(f"{self.tensors.folder}: {entry.full_name} has {len(whole)} rows, not {expected}")
        found = dict(zip(entry.parts, entry.join.split(whole), strict=True))
        for name, part in found.items():
            if tuple(part.shape) != self.shapes[name]:
                raise ArtifactError(
                    f"{self.tensors.folder}: {entry.full_name} gives {name} as {list(part.shape)}, the config asks for "
                    f"{list(self.shapes[name])}"
                )
        return found


def check_names(names: set[str], wanted: set[str], folder: Path) -> None:
    """Raise ArtifactError for the first missing or unknown tensors."""
    missing, unknown = sorted(wanted - names), sorted(names - wanted)
    if missing:
        raise ArtifactError(
            f"{folder}: lacks {len(missing)} tensor(s) that the config asks for, first {missing[0]!r}"
            f"{did_you_mean(missing[0], unknown)}"
        )
    if unknown:
        raise ArtifactError(
            f"{folder}: holds {len(unknown)} tensor(s) without a place in the model of the config, first {unknown[0]!r}"
        )
