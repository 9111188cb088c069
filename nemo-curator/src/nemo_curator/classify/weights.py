"""Weights of a folder's safetensors files, into a module of one's own."""

from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from ..foundation.errors import ConfigError


def names_in(folder: Path) -> frozenset[str]:
    """Names of all weights of a folder."""
    names: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as weights:
            names.update(weights.keys())
    return frozenset(names)


def load_into(module: nn.Module, folder: Path) -> None:
    """Fill every weight of the module. Raises ConfigError naming one that is missing or has another shape."""
    own = dict(module.state_dict())
    missing = set(own)
    for path in sorted(folder.glob("*.safetensors")):
        for name, tensor in load_file(path).items():
            if name not in own:
                continue
            if own[name].shape != tensor.shape:
                raise ConfigError(
                    f"{path}: {name} has shape {list(tensor.shape)}, but config.json makes it {list(own[name].shape)}"
                )
            own[name].copy_(tensor)
            missing.discard(name)
    if missing := {name for name in missing if not name.endswith("position_ids")}:
        raise ConfigError(f"model={folder}: no weight {sorted(missing)[0]!r} in its files; {len(missing)} are missing")
