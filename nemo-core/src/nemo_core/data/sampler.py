"""Which sample comes at which place: a shuffle by formula, so that any place of any epoch is known at once.

The order is a pure function of (seed, epoch, place): nothing is stored, nothing is built at start, and how many
processes share the work does not enter.
"""

from dataclasses import dataclass

MASK = 2**64 - 1
ROUNDS = 6


def mix(value: int) -> int:
    """A 64-bit number scattered over all 64 bits (SplitMix64's finaliser, Steele et al. 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def permute(place: int, *, size: int, key: int) -> int:
    """The image of `place` under a permutation of range(size) that `key` chooses.

    A Feistel network over the next even power of two; places that fall outside are sent on until they fall inside
    (cycle walking, Black and Rogaway 2002), fewer than four times on average.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    low = (1 << half) - 1
    while True:
        left, right = place >> half, place & low
        for turn in range(ROUNDS):
            left, right = right, left ^ (mix(key ^ mix(right * ROUNDS + turn)) & low)
        place = left << half | right
        if place < size:
            return place


@dataclass(frozen=True)
class Sampler:
    """Sample numbers in training order: every sample once an epoch, each epoch in an order of its own."""

    size: int
    seed: int = 0
    shuffle: bool = True

    def __getitem__(self, place: int) -> int:
        """The sample at `place`, counted from the start of training through all epochs."""
        epoch, within = divmod(place, self.size)
        return permute(within, size=self.size, key=mix(mix(self.seed) ^ epoch)) if self.shuffle else within
