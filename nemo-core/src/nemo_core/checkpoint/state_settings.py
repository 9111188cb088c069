"""Settings of the training state; imports nothing heavy."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class StateSettings:
    """Which saved states are kept, and how they are written. None of it touches the result."""

    keep_last: Annotated[int, Meta(ge=1, description="newest states kept")] = 2
    keep_best: Annotated[int, Meta(ge=0, description="besides, the states with the best figures (also saves them)")] = 0
    best_metric: Annotated[str, Meta(min_length=1, description="what keep_best compares; less is better")] = (
        "validation_loss"
    )
    keep_every: Annotated[int, Meta(ge=0, description="besides, states of every so many steps; 0: none")] = 0
    in_background: Annotated[
        bool, Meta(description="copy to memory, write while training goes on; false: training waits")
    ] = True
