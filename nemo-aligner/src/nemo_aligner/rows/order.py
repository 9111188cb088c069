"""Which items a step takes: a fresh shuffle every epoch, fixed by the seed, so that any step can be found again."""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=4)
def shuffled(num_items: int, seed: int, epoch: int) -> tuple[int, ...]:
    """The order of items in `epoch`."""
    return tuple(int(i) for i in np.random.default_rng([seed, epoch]).permutation(num_items))


def items_of_step(step: int, *, num_items: int, batch_size: int, seed: int) -> list[int]:
    """Indices of the items that `step` (from 0) takes; a batch may reach into the next epoch."""
    places = range(step * batch_size, (step + 1) * batch_size)
    return [shuffled(num_items, seed, place // num_items)[place % num_items] for place in places]


def spread(num_items: int, most: int) -> list[int]:
    """At most `most` indices, evenly spread, so that a sample does not depend on how rows are sorted."""
    count = min(num_items, most)
    return [index * num_items // count for index in range(count)]
