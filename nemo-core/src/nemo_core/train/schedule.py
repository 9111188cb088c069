"""The learning rate of a step: a pure function, so that a resumed run needs no memory of it."""

import math

from ..foundation.errors import ConfigError
from .settings import DecayShape, ScheduleKind


def learning_rate_at(
    step: int,
    *,
    peak: float,
    warmup_steps: int,
    total_steps: int,
    kind: ScheduleKind = "cosine",
    minimum_ratio: float = 0.1,
    decay_share: float = 0.2,
    decay_shape: DecayShape = "linear",
) -> float:
    """Rate of `step` (from 0): a linear rise to `peak` over the warmup, then the course of `kind`.

    cosine (Loshchilov and Hutter 2017), wsd (warmup, stable, decay; Hu et al. 2024), linear, inverse_sqrt (Vaswani et
    al. 2017), constant; none goes below `minimum_ratio` of the peak. In the last `decay_share` of the steps after the
    warmup, wsd falls in `decay_shape`. Raises ConfigError for an unknown kind.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = min(1.0, (step - warmup_steps) / max(1, total_steps - 1 - warmup_steps))
    match kind:
        case "cosine":
            height = 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            height = 1 - done
        case "wsd":
            height = fallen(max(0.0, 1 - (1 - done) / decay_share), decay_shape)
        case "inverse_sqrt":
            return peak * max(minimum_ratio, math.sqrt(max(1, warmup_steps) / (step + 1)))
        case "constant":
            height = 1.0
        case _:
            raise ConfigError(f"unknown schedule {kind!r}; one of cosine, wsd, linear, inverse_sqrt, constant")
    return peak * (minimum_ratio + (1 - minimum_ratio) * height)


def fallen(done: float, shape: DecayShape) -> float:
    """How high wsd still is once a share `done` of its fall is over.

    minus_sqrt: Hägele et al. 2024; exponential: Megatron's, half as high each time, less what is left in the end.
    """
    match shape:
        case "linear":
            return 1 - done
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        case "minus_sqrt":
            return 1 - math.sqrt(done)
        case "exponential":
            return 2 * math.pow(0.5, done) - 1
