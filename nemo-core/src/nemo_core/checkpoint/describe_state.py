"""``nemo-core inspect`` of a training state, of all states of a run, or of a run that is not finished."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from ..foundation.artifact import PROGRESS_NOTE
from ..foundation.errors import ArtifactError
from .state_step import INDEX, SavedState, Whole
from .state_store import PLAN, STEP, all_damaged, examine, refuse_former_layout, saved_steps, step_name

STATES = "state"


def describe_state(folder: Path) -> dict[str, Any] | None:
    """What is saved under `folder`; None where it is neither a state nor holds any.

    Raises ArtifactError where the state, or every one of them, is damaged.
    """
    if (folder / INDEX).is_file() and (STEP.fullmatch(folder.name) or not (folder / "config.json").is_file()):
        return {"kind": "training state", **describe_step(folder)}
    is_finished = any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))
    if (folder / PROGRESS_NOTE).is_file() or (saved_steps(folder / STATES) and not is_finished):
        return describe_run(folder)
    if folder.name == STATES or saved_steps(folder) or any(map(is_step, folder.iterdir())):
        return {"kind": "training states", **describe_states(folder)}
    return None


def is_step(path: Path) -> bool:
    """Whether a path is named as the state after a step is, finished or not."""
    return STEP.match(path.name) is not None


def describe_run(folder: Path) -> dict[str, Any]:
    """A run that was cut short or still goes on: its states, and where the same command continues."""
    output = folder.with_name(folder.name.removesuffix(".partial"))
    facts: dict[str, Any] = {"kind": "unfinished run", "output": str(output)}
    if not saved_steps(folder / STATES):
        return {**facts, "states": [], "continues": "nothing of it is saved yet: the same command begins again"}
    states = describe_states(folder / STATES)
    step = states["newest_whole"]
    return {**facts, **states, "continues": f"the same command goes on after step {step}"}


def describe_states(root: Path) -> dict[str, Any]:
    """Every state of a run, the newest whole one in full."""
    refuse_former_layout(root)
    lines, newest, problems = [], None, []
    for step in saved_steps(root):
        state, problem = examine(root / step_name(step))
        if state is None or problem is not None:
            problems.append(str(problem))
            lines.append({"step": step, "damaged": problem})
        else:
            newest = state
            lines.append({"step": step, "bytes": num_bytes(state), "integrity": "whole"})
    if newest is None and problems:
        raise all_damaged(root, problems)
    if newest is None:
        raise ArtifactError(f"{root}: no state here is finished; the run that writes it was cut short at its first")
    unfinished = sorted(path.name for path in root.iterdir() if is_step(path) and not (path / INDEX).is_file())
    facts: dict[str, Any] = {"states": lines, "newest_whole": newest.facts.get("step")}
    return {**facts, **({"unfinished": unfinished} if unfinished else {}), "newest": facts_of(newest)}


def describe_step(folder: Path) -> dict[str, Any]:
    """One state, every file of it hashed. Raises ArtifactError naming a file that is not as it was written."""
    state, problem = examine(folder)
    if state is None or problem is not None:
        raise ArtifactError(f"damaged state: {problem}; take another step's, or a copy")
    return facts_of(state)


def num_bytes(state: SavedState) -> int:
    """Size of the files."""
    return sum(entry.bytes for entry in state.files.values())


def facts_of(state: SavedState) -> dict[str, Any]:
    """Step, figures, layout and tensors of a state whose files were checked."""
    account: dict[str, Any] = {
        name: state.facts[name] for name in ("step", "tokens", "loss", "seconds") if name in state.facts
    }
    wholes = {name: state.describe(name) for name in state}
    return {
        **account,
        "plan": state.facts.get(PLAN, "not noted: an earlier version saved this"),
        "processes": len(state.files),
        "bytes": num_bytes(state),
        "integrity": f"whole: {len(state.files)} file(s) as written, by SHA-256",
        "tensors": len(wholes),
        "kinds": dict(sorted(Counter(map(kind_of, wholes)).items())),
        "numbers": numbers(wholes),
    }


def kind_of(name: str) -> str:
    """Whether a tensor is a weight, a moment, an average or a generator."""
    head = name.partition(".")[0]
    return {"optim": "optimizer", "ema": "average", "rng": "generators"}.get(head, "weights")


def numbers(wholes: dict[str, Whole]) -> dict[str, int]:
    """How many numbers of each type there are."""
    found = Counter[str]()
    for whole in wholes.values():
        found[whole.dtype] += math.prod(whole.shape)
    return dict(sorted(found.items()))
