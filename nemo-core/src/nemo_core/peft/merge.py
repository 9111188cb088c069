"""Adapters added into the weights, and taken out again bit for bit.

Subtracting an update does not give back the rounded sum's terms, so the weights that a merge replaces are kept.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..foundation.errors import ConfigError
from .adapter import Model, activate, active_adapter, adapter_names, own_parts, remove_adapter
from .method import load_method
from .places import Place, Replaceable, owner, parts, places
from .quantize import QuantizedLinear

Weights = tuple[Tensor, Tensor | None]


@dataclass(frozen=True)
class Merged:
    """What a merge replaced: the adapter's name, and weight and bias of every module before, by its name."""

    adapter: str
    before: dict[str, Weights] = field(default_factory=dict)


def check_mergeable(model: nn.Module, adapter: str) -> None:
    """Raise ConfigError where the adapter is no change of weights."""
    kinds = places(model)
    for name, part in own_parts(model, adapter).items():
        method = str(part.method)
        if not load_method(method).MERGES:
            raise ConfigError(f"adapter {adapter!r}: method {method} is no change of weights and cannot be merged")
        if isinstance(kinds[name].base, QuantizedLinear):
            raise ConfigError(
                f"adapter {adapter!r}: {name} is kept in 4 bits; load the model unquantised, then the adapter, "
                "and merge"
            )


@torch.no_grad()
def merge(model: nn.Module, adapter: str | None = None) -> Merged:
    """Add an adapter (default: the active one) into the weights and switch it off; answers stay as they are.

    Raises ConfigError for a method that is no change of weights. `unmerge` takes the result.
    """
    chosen = adapter or active_adapter(model)
    if chosen is None or chosen not in adapter_names(model):
        raise ConfigError(f"no adapter {chosen!r} to merge; there are {', '.join(adapter_names(model)) or 'none'}")
    check_mergeable(model, chosen)
    done, kinds = Merged(chosen), places(model)
    for name, part in parts(model, chosen).items():
        place = kinds[name]
        weight, bias = weights_of(place.base)
        done.before[name] = weight.clone(), None if bias is None else bias.clone()
        new = weights_of(part) if isinstance(place, Replaceable) else part.merged(weight, bias)  # type: ignore[operator]
        write(place.base, new)
    for place in kinds.values():
        place.active = None
    return done


@torch.no_grad()
def unmerge(model: nn.Module, merged: Merged) -> None:
    """Put the weights of before back, bit for bit, and let the adapter answer again, where it is still on the model."""
    for name, before in merged.before.items():
        parent, leaf = owner(model, name)
        module = getattr(parent, leaf)
        write(module.base if isinstance(module, Place) else module, before)
    if merged.adapter in adapter_names(model):
        activate(model, merged.adapter)


def weights_of(module: nn.Module) -> Weights:
    """Weight and bias of a module."""
    weight: Tensor = module.weight  # type: ignore[assignment]
    return weight, getattr(module, "bias", None)


def write(module: nn.Module, weights: Weights) -> None:
    """Put weight and bias into a module."""
    for mine, new in zip(weights_of(module), weights, strict=True):
        if mine is not None and new is not None:
            mine.copy_(new)


def merge_adapters(model: Model) -> Model:
    """Add the active adapter into the weights and take all adapters off; the model is plain, and all of it learns."""
    if active_adapter(model) is not None:
        merge(model)
    for name in adapter_names(model):
        remove_adapter(model, name)
    return model
