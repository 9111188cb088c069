"""Which items a step takes: fixed by the seed and the step alone, so that any step can be found again."""

from nemo_core.data.sampler import Sampler


def items_of_step(step: int, *, num_items: int, batch_size: int, seed: int) -> list[int]:
    """Indices of the items that `step` (from 0) takes; every item once an epoch, each epoch in its own order."""
    sampler = Sampler(size=num_items, seed=seed)
    return [sampler[place] for place in range(step * batch_size, (step + 1) * batch_size)]


def spread(num_items: int, most: int) -> list[int]:
    """At most `most` indices, evenly spread, so that a sample does not depend on how rows are sorted."""
    count = min(num_items, most)
    return [index * num_items // count for index in range(count)]
