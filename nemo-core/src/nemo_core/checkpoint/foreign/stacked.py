"""Weights in a ``torch_dist`` folder, whose layers are stacked into one tensor, or each by itself."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from ...config import ModelConfig
from ...foundation.errors import ArtifactError
from ...megatron.mapping import LAYER, Entry, entries, to_megatron
from .names import is_ignored, megatron_name
from .torch_dist import StoredTensor, TorchDistReader

OPTIMIZER = re.compile(r"^(?:optimizer|chained_\d+\.optimizer)\b")
NUMBERED = re.compile(rf"^{re.escape(LAYER)}\d+\.")


class StackedFolder:
    """The weights of such a folder under megatron.core's names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reader = TorchDistReader(folder)
        self.keys = {
            megatron_name(key): key
            for key in self.reader.keys()  # noqa: SIM118 - not a mapping
            if not is_ignored(key) and not OPTIMIZER.match(key)
        }

    def names(self) -> set[str]:
        """Names of all weights, each layer by itself."""
        named = set()
        for name, key in self.keys.items():
            if name.startswith(LAYER) and not NUMBERED.match(name):
                rest = name.removeprefix(LAYER)
                named |= {f"{LAYER}{layer}.{rest}" for layer in range(self.reader.shape(key)[0])}
            else:
                named.add(name)
        return named

    def read(self, entry: Entry) -> Tensor:
        """The whole tensor of an entry."""
        key, layer = self.place(entry)
        return self.reader.read(key, layer=layer)

    def dtype(self, entry: Entry) -> torch.dtype:
        """The type of an entry's numbers."""
        return self.reader.dtype(self.place(entry)[0])

    def place(self, entry: Entry) -> tuple[str, int | None]:
        """The stored tensor of an entry, and which layer of it where it stacks them."""
        if entry.full_name in self.keys:
            return self.keys[entry.full_name], None
        stacked = f"{LAYER}{entry.name}"
        if entry.layer is None or stacked not in self.keys:
            raise ArtifactError(f"{self.folder}: lacks {entry.full_name!r}")
        return self.keys[stacked], entry.layer

    def rows(self, name: str) -> int:
        """Rows of a tensor."""
        return self.reader.shape(self.keys[name])[0]


def stacked_tensors(config: ModelConfig, read: Callable[[str], Tensor]) -> Iterator[StoredTensor]:
    """A model as such a folder stores it, one tensor at a time; `read` gives canonical tensors by name."""
    for entry, whole in to_megatron(entries(config, vocabulary=config.vocab_size), read):
        if entry.layer is None:
            yield StoredTensor(entry.name, whole)
        else:
            yield StoredTensor(f"{LAYER}{entry.name}", whole, layer=entry.layer, num_layers=config.num_layers)
