"""Training state: named tensors and facts of a run in a folder that appears whole or not at all.

Optimizer moments are stored under the names of the weights they belong to (``optim.<weight>.exp_avg``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..foundation.errors import ArtifactError
from . import state_store
from .state_names import StateNames, named, noted_names, to_write
from .state_piece import pieces_to_write
from .state_settings import StateSettings
from .state_step import SavedState, write_index, write_part

MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")


def save_state(
    folder: str | Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], *, names: StateNames | None = None
) -> None:
    """Save the state of a run of one process after step facts["step"] under `folder`, in place of earlier ones.

    With `names`, tensors are named and laid out as in the Hugging Face folder of the model.

    A kill at any moment leaves the former state or the new one, whole.
    """
    folder = Path(folder)
    step = int(facts.get("step", 0))
    draft = folder / (state_store.step_name(step) + state_store.WRITING)
    state_store.clear_unfinished(folder)
    write_part(draft, to_write(pieces_to_write(tensors, rank=0, size=1), names, is_staged=False), rank=0)
    write_index(draft, num_parts=1, facts={**facts, **noted_names(names)})
    state_store.publish(draft, folder / state_store.step_name(step))
    state_store.prune(folder, {}, StateSettings(keep_last=1))


def load_state(folder: str | Path, *, names: StateNames | None = None) -> tuple[SavedState, dict[str, Any]]:
    """Tensors and facts of the newest state that is whole. ArtifactError where there is none.

    With `names`, tensors have canonical names whichever they were saved under; without, those they were saved under.
    """
    state_store.refuse_former_layout(Path(folder))
    state = state_store.newest(Path(folder))
    if state is None:
        raise ArtifactError(f"{folder}: no training state here")
    return named(state, names), state.facts


def has_state(folder: str | Path) -> bool:
    """Whether there is a state to load. ArtifactError where it is one of a layout that is no longer read."""
    state_store.refuse_former_layout(Path(folder))
    return bool(state_store.saved_steps(Path(folder)))


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Every tensor of the optimizer's state, named after its weight."""
    names: dict[Tensor, str] = {weight: name for name, weight in model.named_parameters()}
    return {
        f"optim.{names[weight]}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for weight, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put saved state back; ArtifactError names a moment that has not the shape of its weight.

    Where `tensors` is a SavedState, a sharded weight reads only its own shard.
    """
    saved: dict[str, list[str]] = {}
    for name in tensors:
        if name.startswith("optim."):
            weight_name, _, key = name.removeprefix("optim.").rpartition(".")
            saved.setdefault(weight_name, []).append(key)
    for name, weight in model.named_parameters():
        if name in saved:
            optimizer.state[weight] = {
                key: restored_moment(tensors, f"optim.{name}.{key}", weight) for key in saved[name]
            }


def restored_moment(tensors: Mapping[str, Tensor], name: str, weight: Tensor) -> Tensor:
    """A saved moment, laid out as its weight where it has one number for each of the weight's."""
    if isinstance(tensors, SavedState) and tensors.describe(name).shape == tuple(weight.shape):
        return tensors.fill(name, weight)
    value = tensors[name]
    if name.rpartition(".")[2] in MOMENTS and value.shape != weight.shape:
        raise ArtifactError(f"state {name} is {list(value.shape)}, the weight {list(weight.shape)}")
    return value.to(weight.device) if value.ndim else value.clone()


def rng_tensors(rank: int = 0) -> dict[str, Tensor]:
    """States of the global generators of process `rank`, as bytes."""
    states = {f"rng.{rank}.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states[f"rng.{rank}.cuda"] = torch.cuda.get_rng_state()
    return states


def restore_rng(tensors: Mapping[str, Tensor], rank: int = 0) -> None:
    """Put the generator states of process `rank` back; a process that was not there before takes those of the first."""
    owner = rank if f"rng.{rank}.cpu" in tensors else 0
    if f"rng.{owner}.cpu" in tensors:
        torch.set_rng_state(tensors[f"rng.{owner}.cpu"])
    if torch.cuda.is_available() and f"rng.{owner}.cuda" in tensors:
        torch.cuda.set_rng_state(tensors[f"rng.{owner}.cuda"])
