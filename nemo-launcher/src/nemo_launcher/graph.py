"""Stages as a graph: what targets need, in an order that runs."""

from collections.abc import Iterable, Mapping, Sequence

from .foundation.errors import ConfigError

Edges = Mapping[str, Sequence[str]]


def needed_by(targets: Iterable[str], needs: Edges) -> set[str]:
    """The targets and everything they need, directly or not."""
    found: set[str] = set()
    pending = list(targets)
    while pending:
        stage = pending.pop()
        if stage not in found:
            found.add(stage)
            pending += needs[stage]
    return found


def in_order(needs: Edges) -> list[str]:
    """Every stage after what it needs, otherwise as declared. Raises ConfigError naming a cycle."""
    order: list[str] = []
    waiting = dict(needs)
    while waiting:
        ready = next((stage for stage, first in waiting.items() if not any(n in waiting for n in first)), None)
        if ready is None:
            raise ConfigError(f"stages need each other in a circle: {' -> '.join(cycle_in(waiting))}")
        order.append(ready)
        del waiting[ready]
    return order


def cycle_in(needs: Edges) -> list[str]:
    """One circle among stages that all wait for another of them; the first stage is repeated at the end."""
    path = [next(iter(needs))]
    while True:
        following = next(n for n in needs[path[-1]] if n in needs)
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)
