"""Which modules of a model the patterns of an adapter choose."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from torch import nn

from ..foundation.errors import ConfigError
from ..foundation.settings import did_you_mean
from .places import frozen_modules
from .quantize import QuantizedLinear

HEAD = "lm_head"
Value = TypeVar("Value")


def matching(names: Sequence[str], targets: Sequence[str], *, what: str) -> list[str]:
    """The `names` that the targets choose, each once.

    A target is the last part or parts of a name ("q_proj", "mlp.down_proj") or a pattern over the whole name
    ("model.layers.0.*"). Raises ConfigError for a target that chooses nothing.
    """
    chosen: list[str] = []
    for target in targets:
        found = [n for n in names if n == target or n.endswith(f".{target}") or fnmatch.fnmatchcase(n, target)]
        if not found:
            known = sorted({n.rsplit(".", 1)[-1] for n in names})
            raise ConfigError(
                f"target {target!r} matches no {what}{did_you_mean(target, known)}; there are {', '.join(known)}"
            )
        chosen += found
    return list(dict.fromkeys(chosen))


def matching_linears(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """Names of the linear layers that the targets choose, all where there are no targets.

    The output head is none of them; `modules_to_save` takes it.
    """
    names = [
        name
        for name, module in frozen_modules(model)
        if isinstance(module, nn.Linear | QuantizedLinear) and name != HEAD
    ]
    return matching(names, targets, what="linear layer") if targets else names


def matching_blocks(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """Names of the blocks (modules made of modules) that the targets choose."""
    names = [
        name
        for name, module in frozen_modules(model)
        if name and next(module.children(), None) is not None and not isinstance(module, nn.ModuleList)
    ]
    return matching(names, targets, what="block")


def matching_leaves(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """Names of the modules with weights of their own that the targets choose."""
    names = [name for name, module in frozen_modules(model) if next(module.parameters(recurse=False), None) is not None]
    return matching(names, targets, what="module with weights")


def by_pattern(patterns: Mapping[str, Value], name: str, default: Value) -> Value:
    """The value of the first pattern, a regular expression over the end of a name, that fits (as peft does it)."""
    for pattern, value in patterns.items():
        try:
            if re.match(rf"(.*\.)?({pattern})$", name):
                return value
        except re.error as error:
            raise ConfigError(f"pattern {pattern!r} is no regular expression: {error}") from None
    return default
