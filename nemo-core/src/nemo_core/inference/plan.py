"""A step's work noted once and done again: kernels and their places in memory, one after another, in one call.

A step of rows that decode does the same however far the rows are; what differs lies in memory: the tokens' vectors and
angles, where their keys and values go, which blocks a row has. So the model's own layers run once for each number of
rows, over places that are kept, while the kernels they call are noted. Then those are called again, without Python or
torch between them. Layers that compute with torch itself (experts, latent attention, adapters) cannot be noted.

N rows, E hidden width, R turned features, J blocks of a row.
"""

import ctypes
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from . import kernels
from .batch import Batch
from .kernels import Notes, RowBlocks
from .kv_cache import KVCache
from .layers import Tokens
from .paged import Seen
from .turn import Turn

Work = Callable[["StepPlaces"], Tensor]
aten = torch.ops.aten
EMPTY = {aten.empty.memory_format, aten.new_empty.default, aten.empty_like.default}
ALIGNMENT = 64


class CannotNoteError(Exception):
    """A step computes something with torch itself."""


@dataclass(frozen=True)
class Scratch:
    """Memory for what lies between kernels, given out again as soon as nothing refers to it any more."""

    free: list[np.ndarray[Any, Any]] = field(default_factory=list)

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Room for a tensor."""
        size = int(np.prod(shape)) * dtype.itemsize
        fitting = [place for place in self.free if len(place) >= size + ALIGNMENT]
        place = min(fitting, key=len, default=None)
        if place is None:
            place = np.empty(size + ALIGNMENT, np.uint8)
        else:
            self.free[:] = [other for other in self.free if other is not place]
        start = -place.ctypes.data % ALIGNMENT
        lent = place[start : start + size]
        weakref.finalize(lent, self.free.append, place).atexit = False
        return torch.from_numpy(lent).view(dtype).view(tuple(shape))


class Noting(TorchDispatchMode):
    """Sees what torch is asked for while kernels are noted: makes sums kernels, gives out scratch memory."""

    def __init__(self, scratch: Scratch) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.scratch = scratch

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Views are as they are; raises CannotNoteError for anything that computes."""
        if func is aten.add.Tensor and not kwargs and are_alike(*args):
            return kernels.add(*args, into=self.scratch.empty(args[0].shape, args[0].dtype))
        if func in EMPTY:
            made = func(*args, **{**(kwargs or {}), "device": "meta"})
            return self.scratch.empty(made.shape, made.dtype)
        if func.is_view:
            return func(*args, **(kwargs or {}))
        raise CannotNoteError(str(func))


def are_alike(left: Any, right: Any) -> bool:
    """Whether a kernel adds these two."""
    both = (left, right)
    return all(isinstance(x, Tensor) and kernels.take(x) and x.is_contiguous() for x in both) and (
        left.shape == right.shape
    )


class Blocks(NamedTuple):
    """How many blocks a row has at most, and of how many positions each is."""

    most: int
    size: int


@dataclass(frozen=True)
class StepPlaces:
    """Where what differs from step to step lies."""

    x_NE: Tensor
    slot_N: Tensor
    stop_N: Tensor
    block_NJ: Tensor
    starts: Mapping[int | None, Tensor]
    turns: Mapping[str, Turn]
    block_size: int

    @classmethod
    def like(
        cls, x_NE: Tensor, turns: Mapping[str, Turn], *, windows: Sequence[int | None], blocks: Blocks
    ) -> "StepPlaces":
        """Places for steps of as many rows, each of which has up to `blocks.most` blocks."""

        def numbers(*shape: int) -> Tensor:
            return torch.zeros(len(x_NE), *shape, dtype=torch.long)

        return cls(
            x_NE=torch.empty_like(x_NE),
            slot_N=numbers(),
            stop_N=numbers(),
            block_NJ=numbers(blocks.most),
            starts={window: numbers() for window in windows},
            turns={name: Turn(torch.empty_like(t.cos_NR), torch.empty_like(t.sin_NR)) for name, t in turns.items()},
            block_size=blocks.size,
        )

    def fill(self, x_NE: Tensor, batch: Batch, turns: Mapping[str, Turn]) -> None:
        """Put a step's own numbers in place."""
        assert batch.decoding is not None
        self.x_NE.copy_(x_NE)
        self.slot_N.copy_(batch.slot_N)
        for name, turn in turns.items():
            self.turns[name].cos_NR.copy_(turn.cos_NR)
            self.turns[name].sin_NR.copy_(turn.sin_NR)
        stop_N, block_NJ = self.stop_N.numpy(), self.block_NJ.numpy()
        stop_N[:] = batch.decoding.stops
        for window, start_N in self.starts.items():
            if window is not None:
                np.maximum(stop_N - window, 0, out=start_N.numpy())
        for row, blocks in zip(block_NJ, batch.decoding.tables):
            row[: len(blocks)] = blocks

    def step(self, batch: Batch) -> Tokens:
        """The step with everything that differs in its place."""
        views: dict[int | None, Seen] = {
            window: RowBlocks(self.block_NJ, start_N, self.stop_N, self.block_size)
            for window, start_N in self.starts.items()
        }
        return Tokens(replace(batch, slot_N=self.slot_N), self.turns, views)


@dataclass(frozen=True)
class Plan:
    """A noted step, the places it reads, and where its result lies."""

    places: StepPlaces
    notes: Notes
    calls: Any
    result: Tensor

    @classmethod
    def noted(cls, places: StepPlaces, scratch: Scratch, work: Callable[[], Tensor]) -> "Plan":
        """Do `work` and note it. Raises CannotNoteError where it does more than call kernels."""
        notes = Notes()
        token = kernels.NOTES.set(notes)
        try:
            with Noting(scratch):
                result = work()
        finally:
            kernels.NOTES.reset(token)
        return cls(places, notes, notes.calls(), result)

    def run(self) -> Tensor:
        """Do it again, with what its places hold now; the result is overwritten by the next run."""
        kernels.library().run(ctypes.addressof(self.calls), len(self.calls))
        return self.result


@dataclass
class Plans:
    """The plans of one model and cache, by the number of rows; none any more once a step could not be noted."""

    windows: Sequence[int | None]
    most_positions: int
    scratch: Scratch = field(default_factory=Scratch)
    noted: dict[int, Plan] = field(default_factory=dict)
    cache: KVCache | None = None
    is_possible: bool = True

    def take(self, x_NE: Tensor, batch: Batch, cache: KVCache | None) -> bool:
        """Whether a step can be noted: rows that decode and nothing else, on a CPU in fp32."""
        is_whole = batch.decoding is not None and not batch.prompts
        return self.is_possible and is_whole and cache is not None and kernels.take(x_NE)

    def compute(
        self, x_NE: Tensor, batch: Batch, turns: Mapping[str, Turn], *, cache: KVCache, work: Work
    ) -> Tensor | None:
        """What `work` gives for this step; None where that cannot be noted, so that it has to be done as it is."""
        if cache is not self.cache:
            self.cache, self.noted = cache, {}
        plan = self.noted.get(len(x_NE))
        if plan is not None:
            plan.places.fill(x_NE, batch, turns)
            return plan.run()
        blocks = Blocks(-(-self.most_positions // cache.block_size), cache.block_size)
        places = StepPlaces.like(x_NE, turns, windows=self.windows, blocks=blocks)
        places.fill(x_NE, batch, turns)
        try:
            plan = Plan.noted(places, self.scratch, lambda: work(places))
        except CannotNoteError:
            self.is_possible = False
            return None
        self.noted[len(x_NE)] = plan
        return plan.result
