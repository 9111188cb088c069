"""Weights in a ``torch_dist`` folder, whose layers are stacked into one tensor, or each by itself."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from ...config import ModelConfig
from ...foundation.errors import ArtifactError
from ...megatron.mapping import EXPERTS, LAYER, Entry, entries, to_megatron
from .names import is_ignored, megatron_name
from .torch_dist import StoredTensor, TorchDistReader

OPTIMIZER = re.compile(r"^(?:chained_\d+\.)?optimizer\.(?:state\.(?P<kind>\w+)\.)?")
NUMBERED = re.compile(rf"^{re.escape(LAYER)}\d+\.")


class StackedFolder:
    """The weights of such a folder under megatron.core's names; or of its optimizer, under the names of the weights
    they belong to, the tensors of one `kind` (``exp_avg``).
    """

    def __init__(self, folder: Path, *, kind: str | None = None, reader: TorchDistReader | None = None) -> None:
        self.folder, self.reader = folder, reader or TorchDistReader(folder)
        self.keys = {
            megatron_name(name): key
            for key in self.reader.keys()  # noqa: SIM118 - not a mapping
            if (name := name_of(key, kind)) is not None and not is_ignored(name)
        }

    def moments(self, kind: str) -> "StackedFolder | None":
        """The optimizer's tensors of this kind; None where there are none."""
        found = StackedFolder(self.folder, kind=kind, reader=self.reader)
        return found if found.keys else None

    def names(self) -> set[str]:
        """Names of all weights, each layer and each expert by itself."""
        return {numbered for name, key in self.keys.items() for numbered in numbers(name, self.reader.shape(key))}

    def read(self, entry: Entry) -> Tensor:
        """The whole tensor of an entry."""
        key, at = self.place(entry)
        return self.reader.read(key, at=at)

    def dtype(self, entry: Entry) -> torch.dtype:
        """The type of an entry's numbers."""
        return self.reader.dtype(self.place(entry)[0])

    def place(self, entry: Entry) -> tuple[str, tuple[int, ...]]:
        """The stored tensor of an entry, and which layer and expert of it where it stacks them."""
        expert = () if entry.expert is None else (entry.expert,)
        if entry.full_name in self.keys:
            return self.keys[entry.full_name], ()
        if entry.layer is not None:
            places = {f"{LAYER}{entry.layer}.{entry.name}": expert, f"{LAYER}{entry.name}": (entry.layer, *expert)}
            for name, at in places.items():
                if name in self.keys:
                    return self.keys[name], at
        raise ArtifactError(f"{self.folder}: lacks {entry.full_name!r}")

    def rows(self, name: str) -> int:
        """Rows of a tensor."""
        return self.reader.shape(self.keys[name])[0]


def name_of(key: str, kind: str | None) -> str | None:
    """The name of the weight in a key of a weight; with `kind`, in one of the optimizer's tensors of that kind."""
    match = OPTIMIZER.match(key)
    if match is None:
        return key if kind is None else None
    return key[match.end() :] if kind is not None and match["kind"] == kind else None


def numbers(name: str, shape: tuple[int, ...]) -> Iterator[str]:
    """The names of what a stored tensor of this shape stacks."""
    if name.startswith(LAYER) and not NUMBERED.match(name):
        rest = name.removeprefix(LAYER)
        for layer in range(shape[0]):
            yield from numbers(f"{LAYER}{layer}.{rest}", shape[1:])
    elif EXPERTS in name and not name.partition(EXPERTS)[2][0].isdigit():
        yield from (name.replace(EXPERTS, f"{EXPERTS}{expert}.") for expert in range(shape[0]))
    else:
        yield name


def stacked_tensors(config: ModelConfig, read: Callable[[str], Tensor]) -> Iterator[StoredTensor]:
    """A model as such a folder stores it, one tensor at a time; `read` gives canonical tensors by name.

    Layers are stacked unless they differ (dense ones among those with experts), experts always.
    """
    table = entries(config, vocabulary=config.vocab_size)
    is_uniform = config.moe is None or not config.moe.dense_layers
    for entry, whole in to_megatron(table, read):
        at: tuple[int, ...] = ()
        counts: tuple[int, ...] = ()
        key = entry.name
        if entry.layer is not None:
            key = f"{LAYER}{entry.written}" if is_uniform else f"{LAYER}{entry.layer}.{entry.written}"
            at, counts = ((entry.layer,), (config.num_layers,)) if is_uniform else ((), ())
        if entry.expert is not None:
            assert config.moe is not None
            at, counts = (*at, entry.expert), (*counts, config.moe.num_experts)
        yield StoredTensor(key, whole, at, counts)
