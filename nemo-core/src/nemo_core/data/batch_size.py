"""How many samples each step learns from, and which: a batch that grows at the beginning of a run, by formula."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from msgspec import Meta

from ..foundation.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RampUp:
    """Begin with small batches and let them grow (Megatron's rampup_batch_size)."""

    start: Annotated[int, Meta(ge=0, description="rows of the first batches; 0: no ramp-up")] = 0
    increment: Annotated[int, Meta(ge=1, description="rows by which a batch grows each time")] = 1
    samples: Annotated[int, Meta(ge=0, description="rows learnt from until batch_size is reached")] = 0


@dataclass(frozen=True)
class Stage:
    """Steps of equal size: the first step, its first sample, and the size."""

    step: int
    sample: int
    size: int


@dataclass(frozen=True)
class BatchSizes:
    """The samples of every step: `size` of them, after the ramp-up. Raises ConfigError where steps do not fit."""

    size: int
    ramp: RampUp = RampUp()

    def __post_init__(self) -> None:
        start, growth = self.ramp.start, self.ramp.increment
        if start and (start > self.size or (self.size - start) % growth):
            raise ConfigError(
                f"ramp_up.start={start} does not reach batch_size={self.size} in steps of ramp_up.increment={growth}"
            )

    @cached_property
    def stages(self) -> list[Stage]:
        """All stages; the last one goes on for ever."""
        return list(self._grow())

    def _grow(self) -> Iterator[Stage]:
        """A batch grows once as many samples are seen as its share of the ramp-up allows (as Megatron counts)."""
        step = sample = 0
        size = self.ramp.start or self.size
        growths = (self.size - size) // self.ramp.increment
        for number in range(growths):
            until = -(-self.ramp.samples * (number + 1) // growths)
            steps = max(0, -(-(until - sample) // size))
            if steps:
                yield Stage(step, sample, size)
            step, sample, size = step + steps, sample + steps * size, size + self.ramp.increment
        yield Stage(step, sample, self.size)

    def span(self, step: int) -> range:
        """Places in the stream of samples that `step` (from 0) learns from."""
        stage = self.stages[bisect_right(self.stages, step, key=lambda stage: stage.step) - 1]
        first = stage.sample + (step - stage.step) * stage.size
        return range(first, first + stage.size)
