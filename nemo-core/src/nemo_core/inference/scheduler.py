"""Who runs next, decided from numbers alone: first come, first served, within slots and a budget of prompt tokens."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Rows of the cache, and prompt tokens read in one step (a longer prompt is still read whole, alone)."""

    max_slots: int
    max_prefill_tokens: int = 8192


def admit(waiting_lengths: Sequence[int], running: int, limits: Limits) -> int:
    """How many of the waiting prompts, in order, start now."""
    free = limits.max_slots - running
    admitted = tokens = 0
    for length in waiting_lengths[: max(free, 0)]:
        tokens += length
        if admitted and tokens > limits.max_prefill_tokens:
            break
        admitted += 1
    return admitted
