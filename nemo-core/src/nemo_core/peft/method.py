"""What a kind of adapter is to the rest of the package: the same names in each method's module."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from ..foundation.errors import ArtifactError

METHODS = {
    "lora": "lora",
    "dora": "dora",
    "ia3": "ia3",
    "prompt": "prompt",
    "ptuning": "ptuning",
    "adapter": "bottleneck",
    "parallel_adapter": "parallel_bottleneck",
}
"""Modules of this folder, by the name of the method."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """How new parts begin: drawn from `seed`, or (`restored`) empty, to be filled from a folder.

    `encode` turns a text into token ids, for prompts that start from one. `read` gives the model's weights by name,
    for parts that start from them, where the model itself is without numbers.
    """

    seed: int = 0
    restored: bool = False
    encode: Callable[[str], list[int]] | None = None
    read: Callable[[str], Tensor] | None = None

    def numbers(self, name: str, weight: Tensor) -> Tensor:
        """What `weight`, called `name` in the model without adapters, is or will be."""
        if not weight.is_meta:
            return weight.detach()
        if self.restored:
            return torch.zeros(weight.shape, dtype=weight.dtype)
        if self.read is None:
            raise ValueError(f"{name} has no numbers yet, and nothing gives them")
        return self.read(name).to(weight.dtype)

    @property
    def draw(self) -> torch.Generator:
        """A generator at the seed."""
        return torch.Generator().manual_seed(self.seed)


def home(weight: Tensor) -> torch.device:
    """Where a part beside `weight` is kept: with it, on the CPU as long as it has no numbers."""
    return torch.device("cpu") if weight.is_meta else weight.device


class Part(Protocol):
    """One adapter in one place: a torch module with these beside its forward."""

    settings: Any
    method: str

    def stored(self) -> dict[str, Tensor]:
        """Its tensors by the names that follow the place's in an adapter folder."""


class Method(Protocol):
    """A module that implements a method."""

    PEFT_TYPE: str
    MERGES: bool

    def attach(self, model: nn.Module, settings: Any, *, adapter: str, start: Start) -> None:
        """Put parts called `adapter` on the model, which answers as before until they have learnt.

        Raises ConfigError for targets that match nothing.
        """

    def describe(self, settings: Any, names: Mapping[str, str], *, model: nn.Module) -> dict[str, Any]:
        """What adapter_config.json says of parts at the places `names`: by our name, the folder's."""

    def understand(self, values: Mapping[str, Any], names: Sequence[str], tensors: Mapping[str, Tensor]) -> Any:
        """The settings that an adapter_config.json with tensors at the places `names` stands for.

        Raises ArtifactError for what has no counterpart here.
        """

    def num_trained(self, settings: Any, shapes: Sequence[tuple[int, int]]) -> int:
        """How many numbers an adapter trains at places with these (output, input) widths."""


def load_method(name: str) -> Method:
    """The module of a method."""
    return cast(Method, importlib.import_module(f"{__package__}.{METHODS[name]}"))


def method_of(values: Mapping[str, Any], *, place: str) -> str:
    """The method of an adapter_config.json; ArtifactError where it is none of ours."""
    kind = values.get("peft_type")
    wanted = "dora" if kind == "LORA" and values.get("use_dora") else None
    for name in METHODS:
        if (name == wanted) if wanted else kind == load_method(name).PEFT_TYPE:
            return name
    known = sorted({load_method(name).PEFT_TYPE for name in METHODS})
    raise ArtifactError(f"{place}: peft_type={kind!r} is not supported; known: {', '.join(known)}")


def refuse_unknown(values: Mapping[str, Any], harmless: Mapping[str, tuple[Any, ...]]) -> None:
    """Raise ArtifactError for a setting that would change the answers and that we do not follow."""
    for key, allowed in harmless.items():
        value = values.get(key)
        if value and value not in allowed:
            raise ArtifactError(f"{key}={value!r} is not supported; this reads {key} only as {allowed or 'unset'}")
