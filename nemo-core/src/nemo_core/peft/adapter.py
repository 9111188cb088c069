"""Adapters on a model: put there, chosen, switched off, taken away."""

import contextlib
import copy
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from torch import Tensor, nn

from ..foundation.errors import ConfigError
from .method import Start, load_method
from .places import AdaptedEmbedding, Replaceable, parts, place_at, places, remove_empty
from .settings import AdapterSettings
from .targets import HEAD, matching_leaves

DEFAULT = "default"
Model = TypeVar("Model", bound=nn.Module)


def add_adapter(
    model: Model,
    method: str,
    settings: AdapterSettings,
    *,
    adapter: str = DEFAULT,
    seed: int = 0,
    encode: Callable[[str], list[int]] | None = None,
    read: Callable[[str], Tensor] | None = None,
) -> Model:
    """Freeze `model` and put a new, active adapter on it, the only thing that learns; answers are as before.

    Prompts answer as before only in so far as their virtual tokens are left out. `encode` gives token ids of a text,
    for prompts that start from one; `read` gives weights by name where `model` is without numbers. Raises ConfigError
    for a name in use or a target that matches nothing; the model is then as it was.
    """
    place_adapter(model, method, settings, adapter=adapter, start=Start(seed=seed, encode=encode, read=read))
    return model


def place_adapter(model: nn.Module, method: str, settings: AdapterSettings, *, adapter: str, start: Start) -> None:
    """`add_adapter` with parts that begin as `start` says."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", adapter):
        raise ConfigError(f"adapter name {adapter!r}: letters, digits, _ and - only")
    if adapter in adapter_names(model):
        raise ConfigError(f"adapter {adapter!r} is on the model already; remove it first or take another name")
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    try:
        load_method(method).attach(model, settings, adapter=adapter, start=start)
        add_copies(model, getattr(settings, "modules_to_save", ()), adapter=adapter, start=start)
    except BaseException:
        take_off(model, adapter)
        for weight in learning:
            weight.requires_grad_(True)
        raise
    for place in places(model).values():
        place.train(place.training)
    activate(model, adapter)


def add_copies(model: nn.Module, targets: Sequence[str], *, adapter: str, start: Start) -> None:
    """Give an adapter trained copies of whole modules."""
    for target in targets:  # a tied output head is no module of its own, so no name would match
        check_copy(model, target)
    for name in matching_leaves(model, targets):
        check_copy(model, name)
        place = place_at(model, name, Replaceable)
        place.adapters[adapter] = twin(name, place.base, start)


def twin(name: str, module: nn.Module, start: Start) -> nn.Module:
    """A copy of the module called `name`, with numbers."""
    made = copy.deepcopy(module)
    for leaf, weight in list(made.named_parameters()):
        if weight.is_meta:
            parent, _, last = leaf.rpartition(".")
            made.get_submodule(parent).register_parameter(last, nn.Parameter(start.numbers(f"{name}.{leaf}", weight)))
    return made


def check_copy(model: nn.Module, name: str) -> None:
    """Raise ConfigError where a trained copy of this module would change another one too."""
    tied = getattr(getattr(model, "config", None), "tied_embeddings", False)
    if tied and name.rsplit(".", 1)[-1] in ("embed_tokens", HEAD):
        raise ConfigError(
            f"modules_to_save={name}: input and output embedding of this model are one; a copy for either cannot be "
            "told apart in an adapter folder. Leave it out, or train with method=full"
        )


def activate(model: nn.Module, adapter: str) -> None:
    """Let `adapter` answer, and learn, from now on. Raises ConfigError naming those there are."""
    if adapter not in (known := adapter_names(model)):
        raise ConfigError(f"no adapter {adapter!r} on this model; there are {', '.join(known) or 'none'}")
    model.requires_grad_(False)
    for place in places(model).values():
        place.active = adapter
    for part in parts(model).values():
        part.requires_grad_(True)


@contextlib.contextmanager
def using(model: nn.Module, adapter: str | None) -> Iterator[None]:
    """Within the block `adapter` answers, or (None) the frozen model; which weights learn stays as it is."""
    if adapter is not None and adapter not in (known := adapter_names(model)):
        raise ConfigError(f"no adapter {adapter!r} on this model; there are {', '.join(known) or 'none'}")
    before = [(place, place.active) for place in places(model).values()]
    for place, _ in before:
        place.active = adapter
    try:
        yield
    finally:
        for place, active in before:
            place.active = active


def adapters_disabled(model: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Within the block the model answers as its frozen base does."""
    return using(model, None)


def adapter_names(model: nn.Module) -> list[str]:
    """Names of all adapters of a model."""
    return list(dict.fromkeys(name for place in places(model).values() for name in place.adapters))


def active_adapter(model: nn.Module) -> str | None:
    """The adapter that answers, or None."""
    return next((place.active for place in places(model).values()), None)


def remove_adapter(model: nn.Module, adapter: str) -> None:
    """Take an adapter off; without any left, the model is plain and all of it learns again."""
    take_off(model, adapter)
    if not places(model):
        model.requires_grad_(True)


def take_off(model: nn.Module, adapter: str) -> None:
    """Remove the parts of an adapter, and places that are then empty."""
    for place in places(model).values():
        if adapter in place.adapters:
            del place.adapters[adapter]
        if place.active == adapter:
            place.active = None
    remove_empty(model)


def prefix_ids(model: nn.Module, adapter: str | None = None) -> list[int]:
    """Virtual tokens to put before every sequence for an adapter (default: the active one); mostly none."""
    chosen = active_adapter(model) if adapter is None else adapter
    for place in places(model).values():
        if isinstance(place, AdaptedEmbedding) and chosen is not None and chosen in place.adapters:
            first = place.weight.shape[0]
            for name, part in place.adapters.items():
                size: int = part.settings.num_tokens  # type: ignore[assignment, union-attr]
                if name == chosen:
                    return list(range(first, first + size))
                first += size
    return []


def num_virtual(model: nn.Module) -> int:
    """How many virtual tokens the adapters of a model have in all; their ids follow the vocabulary's."""
    embeddings = [place for place in places(model).values() if isinstance(place, AdaptedEmbedding)]
    return sum(int(part.settings.num_tokens) for place in embeddings for part in place.adapters.values())  # type: ignore


def own_parts(model: nn.Module, adapter: str) -> dict[str, nn.Module]:
    """What an adapter adds, by place; the copies it brings of whole modules left out."""
    kinds = places(model)
    return {name: part for name, part in parts(model, adapter).items() if not isinstance(kinds[name], Replaceable)}


def copies(model: nn.Module, adapter: str) -> dict[str, nn.Module]:
    """The copies of whole modules that an adapter brings, by the module's name."""
    kinds = places(model)
    return {name: part for name, part in parts(model, adapter).items() if isinstance(kinds[name], Replaceable)}


def num_trained(model: nn.Module) -> int:
    """How many numbers learn."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
