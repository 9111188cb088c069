"""Decides what one step computes: pure, from token lists in to a plan out.

A slot is a row of the key/value cache. Slots 0 to n-1 are active; the others are free, and may still hold the tokens
of an answer that ended, which a prompt with the same beginning takes over.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

MIN_SHARED = 8  # waiting a step for a neighbour's prefix pays from about this many tokens


class Occupant(Protocol):
    """What a slot holds: the tokens known, of which the first `num_cached` have keys and values."""

    @property
    def tokens(self) -> Sequence[int]:
        """Prompt and answer so far."""

    @property
    def num_cached(self) -> int:
        """How many of the tokens the cache holds."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Put waiting prompt number `waiting` into `slot`, taking its first `shared` positions from slot `donor`."""

    waiting: int
    slot: int
    donor: int
    shared: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Compute tokens `start` to `stop`-1 of `slot`."""

    slot: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: admissions in order, then chunks, at most one per slot."""

    admissions: list[Admission]
    chunks: list[Chunk]


@dataclass
class Draft:
    """A plan in the making: which prefixes are in the cache now, and which will be after coming steps."""

    budget: int
    cached: dict[int, Sequence[int]]
    promised: list[Sequence[int]] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)

    def compute(self, slot: int, tokens: Sequence[int], start: int) -> None:
        """Plan the next tokens of a slot: one is always granted, more come out of the budget."""
        stop = len(tokens) if len(tokens) - start == 1 else min(len(tokens), start + self.budget)
        if stop > start:
            self.chunks.append(Chunk(slot, start, stop))
        if len(tokens) - start > 1:
            self.budget -= stop - start
            self.promised.append(tokens)


def plan_step(
    active: Sequence[Occupant],
    retired: Mapping[int, Occupant],
    waiting: Sequence[Sequence[int]],
    *,
    max_slots: int,
    budget: int,
) -> Plan:
    """Every active slot's next token, then prompts, oldest first, up to `budget` tokens of them.

    A prompt is admitted where a slot is free. It copies the longest prefix that any slot holds, always leaving its
    last token to compute. Where a prefix longer by `MIN_SHARED` is being computed for another, it waits for that.
    """
    draft = Draft(budget, {})
    for slot, row in enumerate(active):
        draft.compute(slot, row.tokens, row.num_cached)
    admissions: list[Admission] = []
    if waiting and len(active) < max_slots:
        draft.cached = {slot: row.tokens[: row.num_cached] for slot, row in [*enumerate(active), *retired.items()]}
        admissions = list(admit(waiting, range(len(active), max_slots), draft))
    return Plan(admissions, draft.chunks)


def admit(waiting: Sequence[Sequence[int]], free: range, draft: Draft) -> Iterator[Admission]:
    """Waiting prompts that start now, as long as slots and budget last."""
    slots = iter(free)
    slot = next(slots, None)
    for index, prompt in enumerate(waiting):
        if slot is None or draft.budget <= 0:
            return
        donor, shared = best_donor(prompt, slot, draft.cached)
        coming = max((common_prefix(prompt, tokens) for tokens in draft.promised), default=0)
        if min(coming, len(prompt) - 1) >= shared + MIN_SHARED:
            continue
        yield Admission(index, slot, donor, shared)
        draft.cached[slot] = prompt[:shared]
        draft.compute(slot, prompt, shared)
        slot = next(slots, None)


def best_donor(prompt: Sequence[int], slot: int, cached: Mapping[int, Sequence[int]]) -> tuple[int, int]:
    """The slot that holds most of the prompt's beginning (`slot` itself on a tie), and how much it holds."""
    best = slot, common_prefix(prompt, cached.get(slot, ()))
    for donor, tokens in cached.items():
        if tokens and tokens[0] == prompt[0]:
            shared = common_prefix(prompt, tokens)
            best = (donor, shared) if shared > best[1] else best
    return best[0], min(best[1], len(prompt) - 1)


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many first tokens agree; bisection, because comparing slices is far faster than looping."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
