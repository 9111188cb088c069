"""Saving states while training goes on: copied to memory, written in the background, made valid at a later step."""

import math
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checkpoint import state_store
from ..checkpoint.state_names import StateNames, named, noted_names, to_write
from ..checkpoint.state_piece import Piece, pieces_to_write
from ..checkpoint.state_settings import StateSettings
from ..checkpoint.state_step import SavedState, write_index, write_part
from ..foundation.errors import ArtifactError, DiskFull
from .world import World

Select = Callable[[Mapping[str, Tensor], World], list[Piece]]


def select_plain(tensors: Mapping[str, Tensor], world: World) -> list[Piece]:
    """What this process writes where every process holds all tensors."""
    return pieces_to_write(tensors, rank=world.rank, size=world.size)


class PartWriter(threading.Thread):
    """Writes this process's part of a state; `error` tells why that failed."""

    def __init__(self, folder: Path, pieces: list[Piece], rank: int) -> None:
        super().__init__(name="state-writer", daemon=True)
        self.folder, self.pieces, self.rank = folder, pieces, rank
        self.error: Exception | None = None

    def run(self) -> None:
        """Write; keep what goes wrong for the training thread to see."""
        try:
            write_part(self.folder, self.pieces, rank=self.rank)
        except Exception as error:  # noqa: BLE001 - handed to the training thread, which reports it
            self.error = error


@dataclass
class Pending:
    """A state that is being written."""

    step: int
    facts: dict[str, Any]
    draft: Path
    writer: PartWriter


@dataclass
class SaveFigures:
    """What saving has cost: `pause_s` kept training waiting; counts of states that became valid or failed."""

    pause_s: float = 0.0
    saved: int = 0
    failed: int = 0


class Saver:
    """The states of a run under `root`. All processes call every method at the same steps.

    A state becomes valid (is renamed to its final name) by the first process once the parts of all are on disk. One
    that cannot be written, because the disk is full for example, is reported and dropped: training goes on.
    """

    def __init__(
        self,
        root: Path,
        settings: StateSettings,
        world: World,
        *,
        select: Select = select_plain,
        names: StateNames | None = None,
    ) -> None:
        self.root, self.settings, self.world, self.select, self.names = root, settings, world, select, names
        self.pending: Pending | None = None
        self.last_saved: int | None = None
        self.figures = SaveFigures()

    def load(self) -> SavedState | None:
        """The newest state that is whole, or None where nothing was saved; also clears what a kill left unfinished.

        A damaged state is reported and the one before it taken. Raises ArtifactError where all are damaged.
        """
        state_store.refuse_former_layout(self.root)
        if self.world.is_first:
            state_store.clear_unfinished(self.root)
        self.world.wait()
        problems: list[str] = []
        for step in reversed(state_store.saved_steps(self.root)):
            state, problem = state_store.examine(
                self.root / state_store.step_name(step), part=self.world.rank, of=self.world.size
            )
            if not self.world.any(problem is not None):
                self.last_saved = step
                return state if state is None else named(state, self.names)
            problems.append(problem or f"{self.root / state_store.step_name(step)}: another process found it damaged")
            if problem:
                self.say(f"{problem}; falling back to the state before it")
        if problems:
            raise state_store.all_damaged(self.root, problems)
        return None

    def best(self) -> SavedState | None:
        """The saved state with the least figure of `settings.best_metric`, the later of equals; None without any."""
        figures = state_store.figures_of(self.root, self.settings.best_metric)
        ranked = sorted((figure, -step) for step, figure in figures.items() if not math.isnan(figure))
        if not ranked:
            return None
        return named(SavedState(self.root / state_store.step_name(-ranked[0][1])), self.names)

    def save(self, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Begin to save, after the state before is finished; returns once `tensors` may change again."""
        started = time.monotonic()
        self.finish()
        draft = self.root / (state_store.step_name(step) + state_store.WRITING)
        chosen = self.select(tensors, self.world)
        pieces = to_write(chosen, self.names, is_staged=self.settings.in_background)
        noted = {**facts, **noted_names(self.names)}
        self.pending = Pending(step, noted, draft, PartWriter(draft, pieces, self.world.rank))
        self.pending.writer.start()
        if not self.settings.in_background:
            self.finish()
        self.figures.pause_s += time.monotonic() - started

    @property
    def unfinished_here(self) -> bool:
        """Whether this process is still writing."""
        return self.pending is not None and self.pending.writer.is_alive()

    def settle(self, *, unfinished_anywhere: bool) -> None:
        """Make a pending state valid once no process is still writing; the loop asks all of them at every step."""
        if self.pending is not None and not unfinished_anywhere:
            self.finish()

    def finish(self) -> None:
        """Wait until a pending state is valid, or has failed."""
        if self.pending is None:
            return
        pending, self.pending = self.pending, None
        pending.writer.join()
        error = pending.writer.error
        if not self.world.any(error is not None):
            error = self.publish(pending) if self.world.is_first else None
        else:
            error = error or OSError("another process could not write its part")
            if self.world.is_first:
                shutil.rmtree(pending.draft, ignore_errors=True)
        if self.world.any(error is not None):
            self.figures.failed += 1
            self.report(pending, error)
        else:
            self.figures.saved += 1
            self.last_saved = pending.step

    def publish(self, pending: Pending) -> Exception | None:
        """Give the state its final name and remove those no longer needed; what went wrong, if anything."""
        final = self.root / state_store.step_name(pending.step)
        try:
            write_index(pending.draft, num_parts=self.world.size, facts=pending.facts)
            state_store.publish(pending.draft, final)
            figures = state_store.figures_of(self.root, self.settings.best_metric)
            state_store.prune(self.root, figures, self.settings)
        except (OSError, ArtifactError, DiskFull) as error:
            shutil.rmtree(pending.draft, ignore_errors=True)
            return error
        return None

    def report(self, pending: Pending, error: Exception | None) -> None:
        """Say on stderr that a state was not saved, and that training goes on."""
        last = (
            "none is saved yet" if self.last_saved is None else f"the last saved one is that of step {self.last_saved}"
        )
        if self.world.is_first or error is not None:
            self.say(f"the state after step {pending.step} was not saved: {error}; training goes on, {last}")

    def say(self, text: str) -> None:
        """A line on stderr."""
        print(f"nemo-core: warning: {text}", file=sys.stderr, flush=True)
