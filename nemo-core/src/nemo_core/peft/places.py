"""Where adapters sit: a module of the frozen model, and beside it the parts of the adapters that may change it.

One adapter of a model is active, or none; a place where the active adapter has no part answers as its base does.

B batch, T position, E hidden width, V vocabulary, P virtual tokens of all adapters.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..foundation.errors import ConfigError, InputError

BASE = "base"
Kind = TypeVar("Kind", bound="Place")


class Place(nn.Module):
    """A frozen module and the parts of adapters beside it, by the adapter's name."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.adapters = nn.ModuleDict()
        self.active: str | None = None

    @property
    def part(self) -> Any:
        """What the active adapter has here, or None."""
        return self.adapters[self.active] if self.active is not None and self.active in self.adapters else None


class AdaptedLinear(Place):
    """A linear layer; a part is given the input and the frozen layer. [..., I] -> [..., O]."""

    @property
    def in_features(self) -> int:
        """Input width."""
        width: int = self.base.in_features  # type: ignore[assignment]
        return width

    @property
    def out_features(self) -> int:
        """Output width."""
        width: int = self.base.out_features  # type: ignore[assignment]
        return width

    def forward(self, x: Tensor) -> Tensor:
        """The frozen layer's answer, or the active part's."""
        part = self.part
        y: Tensor = self.base(x) if part is None else part(x, self.base)
        return y


class AdaptedBlock(Place):
    """A block, attention or feed-forward; a part is given its input and its output. [..., E] -> [..., E]."""

    def forward(self, x: Tensor, *others: Any, **named: Any) -> Tensor:
        """The block's answer, changed by the active part."""
        part = self.part
        y: Tensor = self.base(x, *others, **named)
        return y if part is None else part(x, y)


class AdaptedEmbedding(Place):
    """An embedding that also knows virtual tokens: ids from V on are rows of the adapters' prompts, one after another.

    A prompt is put before a sequence by putting its ids there (`prefix_ids`), so that positions, packing, masks and
    caches treat it as they treat any token. Prompts are what the first layer is given, as in peft: where the model
    multiplies embeddings by `scale`, they are divided by it.
    """

    scale: float = 1.0

    @property
    def weight(self) -> Tensor:
        """Embeddings of the vocabulary, [V, E]."""
        weight: Tensor = self.base.weight  # type: ignore[assignment]
        return weight

    def prompt_PE(self) -> Tensor:
        """Embeddings of every virtual token, [P, E]."""
        return torch.cat([part() for part in self.adapters.values()]) / self.scale

    def forward(self, ids_BT: Tensor) -> Tensor:
        """[B, T] -> [B, T, E]. Raises InputError for virtual tokens while adapters are switched off."""
        known = self.weight.shape[0]
        is_virtual_BT = ids_BT >= known
        if self.active is None:
            if bool(is_virtual_BT.any()):
                raise InputError("virtual tokens of a prompt, but the adapter is switched off; leave its prefix out")
            return self.base(ids_BT)  # type: ignore[no-any-return]
        x_BTE: Tensor = self.base(ids_BT.masked_fill(is_virtual_BT, 0))
        virtual_BTE = F.embedding((ids_BT - known).clamp_(min=0), self.prompt_PE().to(x_BTE.dtype))
        return torch.where(is_virtual_BT[..., None], virtual_BTE, x_BTE)


class Replaceable(Place):
    """A module that an adapter brings its own trained copy of (`modules_to_save`)."""

    @property
    def chosen(self) -> nn.Module:
        """The copy of the active adapter, or the frozen module."""
        module: nn.Module = self.part if self.part is not None else self.base
        return module

    @property
    def weight(self) -> Tensor:
        """Weight of the chosen module."""
        weight: Tensor = self.chosen.weight  # type: ignore[assignment]
        return weight

    @property
    def bias(self) -> Tensor | None:
        """Bias of the chosen module."""
        return getattr(self.chosen, "bias", None)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What the chosen module answers."""
        return self.chosen(*inputs, **named)


def canonical_name(name: str) -> str:
    """The name of a module in the model without adapters."""
    return ".".join(part for part in name.split(".") if part != BASE)


def places(model: nn.Module) -> dict[str, Place]:
    """Every place by the name its module has in the model without adapters."""
    return {canonical_name(name): module for name, module in model.named_modules() if isinstance(module, Place)}


def parts(model: nn.Module, adapter: str | None = None) -> dict[str, nn.Module]:
    """What an adapter (default: the active one) has in each place."""
    found: dict[str, nn.Module] = {}
    for name, place in places(model).items():
        chosen = place.active if adapter is None else adapter
        if chosen is not None and chosen in place.adapters:
            found[name] = place.adapters[chosen]
    return found


def frozen_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules of the model without adapters, by their names there; where one is a place, its base."""
    inside = {f"{name}.adapters" for name, module in model.named_modules() if isinstance(module, Place)}
    for name, module in model.named_modules():
        if isinstance(module, Place) or any(name == root or name.startswith(f"{root}.") for root in inside):
            continue
        yield canonical_name(name), module


def place_at(model: nn.Module, name: str, kind: Callable[[nn.Module], Kind]) -> Kind:
    """The place of the module called `name`; made, and put in its stead, where there is none yet.

    Raises ConfigError where there is one of another kind.
    """
    parent, leaf = owner(model, name)
    module = getattr(parent, leaf)
    if isinstance(module, Place):
        if type(module) is not kind:
            raise ConfigError(f"{name}: another adapter changes this module in another way; take that one off first")
        return module  # type: ignore[return-value]
    place = kind(module)
    setattr(parent, leaf, place.train(module.training))
    return place


def owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that holds the one called `name`, and under which attribute; places on the way are looked through."""
    parent = model
    *path, leaf = name.split(".")
    for step in path:
        child = getattr(parent, step)
        parent = child.base if isinstance(child, Place) else child
    return parent, leaf


def remove_empty(model: nn.Module) -> None:
    """Put back the module of every place that no adapter uses any more."""
    for name, place in sorted(places(model).items(), key=lambda item: -item[0].count(".")):
        if not place.adapters:
            parent, leaf = owner(model, name)
            setattr(parent, leaf, place.base)
