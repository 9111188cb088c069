"""The states of a run, one folder per step (``step-000100/``): found, chosen, pruned."""

import math
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..foundation import atomic
from ..foundation.errors import ArtifactError
from .state_settings import StateSettings
from .state_step import INDEX, SavedState

STEP = re.compile(r"step-(\d{6,})")
WRITING, REPLACED = ".writing", ".replaced"
FIGURES, PLAN, NAMES = "figures", "plan", "names"
FOLDER_NAMES = "folder"  # of NAMES: tensors are named and laid out as in the model's Hugging Face folder
FORMER = ("facts.json", "tensors.safetensors")


def step_name(step: int) -> str:
    """The folder of the state after `step` steps."""
    return f"step-{step:06d}"


def saved_steps(root: Path) -> list[int]:
    """Steps with a state under `root`, rising; unfinished ones are not counted."""
    found = [STEP.fullmatch(path.name) for path in root.iterdir()] if root.is_dir() else []
    return sorted(int(match[1]) for match in found if match and (root / match[0] / INDEX).is_file())


def clear_unfinished(root: Path) -> None:
    """Remove what a killed process left half-written; a state put aside for one that never came is put back."""
    for path in root.glob(f"*{REPLACED}") if root.is_dir() else ():
        final = path.with_name(path.name.removesuffix(REPLACED))
        if not (final / INDEX).is_file():
            shutil.rmtree(final, ignore_errors=True)
            path.rename(final)
    for pattern in (f"*{WRITING}", f"*{REPLACED}"):
        for path in root.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)
    for path in root.glob("step-*"):
        if not (path / INDEX).is_file():
            shutil.rmtree(path, ignore_errors=True)


def publish(draft: Path, final: Path) -> None:
    """Give a finished draft its name; a former state of the same step is put aside until that is done."""
    aside = final.with_name(final.name + REPLACED)
    if final.exists():
        final.rename(aside)
    with atomic.explain_disk_full(final):
        draft.rename(final)
        atomic.sync_folder(final.parent)
    shutil.rmtree(aside, ignore_errors=True)


def refuse_former_layout(root: Path) -> None:
    """Raise ArtifactError for a state of the layout before version 1, which lay in `root` itself."""
    if (root / FORMER[0]).is_file():
        raise ArtifactError(
            f"{root}: a state in the layout of nemo-core 0.1 ({', '.join(FORMER)}); finish the run with that version, "
            "or delete this folder to begin again"
        )


def newest(root: Path) -> SavedState | None:
    """The newest state whose files are as they were written; None where there is none at all.

    Raises ArtifactError where there are states, but every one of them is damaged.
    """
    problems: list[str] = []
    for step in reversed(saved_steps(root)):
        state, problem = examine(root / step_name(step))
        if state is not None and problem is None:
            return state
        problems.append(str(problem))
    if problems:
        raise all_damaged(root, problems)
    return None


def examine(folder: Path, *, part: int = 0, of: int = 1) -> tuple[SavedState | None, str | None]:
    """A state and what is wrong with it, as far as every `of`-th file beginning with `part` tells."""
    try:
        state = SavedState(folder)
    except ArtifactError as error:
        return None, str(error)
    return state, state.verify(part=part, of=of)


def all_damaged(root: Path, problems: Sequence[str]) -> ArtifactError:
    """That no state can be used."""
    return ArtifactError(
        f"{root}: no state is whole: {'; '.join(problems)}. Restore a copy, or delete it to begin again"
    )


def superfluous(steps: Mapping[int, float], settings: StateSettings) -> list[int]:
    """Which of the saved steps (with the figure that keep_best compares, NaN where unknown) may go."""
    ranked = sorted((figure, -step) for step, figure in steps.items() if not math.isnan(figure))
    kept = set(sorted(steps)[-settings.keep_last :])
    kept |= {-step for _, step in ranked[: settings.keep_best]}
    if settings.keep_every:
        kept |= {step for step in steps if step % settings.keep_every == 0}
    return sorted(steps.keys() - kept)


def prune(root: Path, figures: Mapping[int, float], settings: StateSettings) -> None:
    """Remove states that need not be kept; each loses its index first, so a kill leaves none half there."""
    for step in superfluous({step: figures.get(step, math.nan) for step in saved_steps(root)}, settings):
        (root / step_name(step) / INDEX).unlink()
        shutil.rmtree(root / step_name(step))


def figures_of(root: Path, metric: str) -> dict[int, float]:
    """The figure `metric` of every saved state that has it."""
    figures = {}
    for step in saved_steps(root):
        try:
            value = SavedState(root / step_name(step)).facts.get(FIGURES, {}).get(metric)
        except ArtifactError:  # damaged: it has no figure, so it is the first to go
            continue
        if isinstance(value, int | float):
            figures[step] = float(value)
    return figures
