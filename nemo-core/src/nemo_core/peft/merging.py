"""A model with its adapter merged, tensor by tensor, so that no process holds all of it at once.

The model that carries the adapter may be without numbers but for the adapter: `read` gives the frozen tensors.
"""

import copy
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint.folder import open_model, save_read
from ..checkpoint.mapping.rules import Read
from ..checkpoint.reader import TensorInfo
from ..foundation.errors import ConfigError
from ..model.decoder import Decoder
from ..model.skeleton import outline
from ..parallel.gather import put_parameter
from .adapter import active_adapter, own_parts
from .dora import Dora
from .folder import load_adapter
from .merge import check_mergeable
from .naming import kept_by_part
from .places import Replaceable, canonical_name, parts, places

ADAPTERS = ".adapters."


class Merging:
    """The merged tensors by their names in the model without adapters, each of the form that `infos` has.

    Sums are made in float32. Raises ConfigError for a method that is no change of weights.
    """

    def __init__(self, model: Decoder, infos: Mapping[str, TensorInfo], read: Read) -> None:
        adapter = active_adapter(model)
        if adapter is None:
            raise ConfigError("no adapter is active, so there is nothing to merge")
        check_mergeable(model, adapter)
        self.model, self.infos, self.read = model, infos, read
        self.parts, self.places = parts(model, adapter), places(model)

    @torch.no_grad()
    def __call__(self, name: str) -> Tensor:
        """The tensor `name` of the merged model."""
        module, _, leaf = name.rpartition(".")
        if module not in self.parts:
            return self.read(name)
        part: Any = self.parts[module]
        if isinstance(self.places[module], Replaceable):
            made: Tensor = getattr(part, leaf)
        else:
            bias = self.read(f"{module}.bias").float() if f"{module}.bias" in self.infos else None
            weight_OI, bias_O = part.merged(self.read(f"{module}.weight").float(), bias)
            made = weight_OI if leaf == "weight" else bias_O
        return made.detach().to(self.infos[name].dtype)

    @cached_property
    def changed(self) -> list[str]:
        """Names of the tensors that a merge may change."""
        return [name for name in self.infos if name.rpartition(".")[0] in self.parts]

    def save(self, folder: Path) -> None:
        """Write the merged model as a folder."""
        save_read(self.model.config, self.infos, self, folder)


def merging_folders(model: Path, adapter: Path) -> Merging:
    """The model of a folder with the adapter of another one."""
    source = open_model(model)
    adapted = load_adapter(outline(source.config), adapter)
    return Merging(adapted, {name: source.info(name) for name in source.specs}, source.canonical)


def frozen_names(names: Iterable[str]) -> dict[str, str]:
    """Names of the tensors of a model with adapters, by those they have without; those of adapters are left out."""
    return {canonical_name(name): name for name in names if ADAPTERS not in name}


def with_adapter(model: Decoder, read: Read) -> Decoder:
    """`model`, or a copy in which all that its adapter's folder is made of has numbers, which `read` gives."""
    joined = joined_weights(model)
    lacking = [name for name, tensor in model.state_dict().items() if tensor.is_meta]
    lacking = [name for name in lacking if ADAPTERS in name or name in joined]
    filled = copy.deepcopy(model) if lacking else model
    for name in lacking:
        put_parameter(filled, name, read(name))
    return filled


def joined_weights(model: Decoder) -> set[str]:
    """Weights without adapters whose rows' lengths stand in the folder, as it joins them with some that have DoRA."""
    adapter, kept = active_adapter(model), kept_by_part(model)
    own = own_parts(model, adapter) if adapter else {}
    joined = {part for name, one in own.items() if type(one) is Dora and name in kept for part in kept[name].parts}
    return {f"{name}.weight" for name in joined - own.keys()}
