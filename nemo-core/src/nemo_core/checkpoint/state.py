"""Training state: named tensors (safetensors) and facts (JSON) in a folder that appears whole or not at all.

Optimizer moments are stored under the names of the weights they belong to (``optim.<weight>.exp_avg``).
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..foundation import atomic
from ..foundation.errors import ArtifactError
from .tensors import iterate_file, write_file

TENSORS, FACTS = "tensors.safetensors", "facts.json"


def save_state(folder: str | Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Replace the state in `folder`: a kill at any moment leaves the former state or the new one, whole."""
    folder = Path(folder)
    draft = folder.with_name(f"{folder.name}.writing")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    write_file(draft / TENSORS, tensors)
    atomic.write_text(draft / FACTS, json.dumps(dict(facts), indent=1) + "\n")
    atomic.replace_folder(draft, folder)


def load_state(folder: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts, as saved; a replacement cut short falls back to the former state."""
    folder = Path(folder)
    if not (folder / FACTS).is_file():
        folder = folder.with_name(f"{folder.name}.replaced")
    if not (folder / FACTS).is_file():
        raise ArtifactError(f"{folder.with_name(folder.name.removesuffix('.replaced'))}: no training state here")
    return dict(iterate_file(folder / TENSORS)), json.loads((folder / FACTS).read_text(encoding="utf-8"))


def has_state(folder: str | Path) -> bool:
    """Whether `load_state` would find one."""
    folder = Path(folder)
    return any((f / FACTS).is_file() for f in (folder, folder.with_name(f"{folder.name}.replaced")))


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Every tensor of the optimizer's state, named after its weight."""
    names: dict[Tensor, str] = {weight: name for name, weight in model.named_parameters()}
    return {
        f"optim.{names[weight]}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for weight, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put saved state back; ArtifactError names a weight of the model that has none of its shape."""
    for name, weight in model.named_parameters():
        prefix = f"optim.{name}."
        state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        for key, value in state.items():
            if value.ndim and not fits(value.shape, weight.shape):
                raise ArtifactError(f"state {prefix}{key} is {list(value.shape)}, the weight {list(weight.shape)}")
            state[key] = value.to(weight.device) if value.ndim else value.clone()
        if state:
            optimizer.state[weight] = state


def fits(kept: torch.Size, weight: torch.Size) -> bool:
    """Whether optimizer state of this shape can belong to a weight: of its shape, or summed over some dimensions."""
    return len(kept) == len(weight) and all(k in (1, w) for k, w in zip(kept, weight, strict=True))


def rng_tensors() -> dict[str, Tensor]:
    """States of torch's global generators, as bytes."""
    states = {"rng.cpu": torch.get_rng_state()}
    for index in range(torch.cuda.device_count()):
        states[f"rng.cuda.{index}"] = torch.cuda.get_rng_state(index)
    return states


def restore_rng(tensors: Mapping[str, Tensor]) -> None:
    """Put saved generator states back."""
    for name, state in tensors.items():
        if name == "rng.cpu":
            torch.set_rng_state(state)
        elif name.startswith("rng.cuda."):
            torch.cuda.set_rng_state(state, int(name.rsplit(".", 1)[1]))
