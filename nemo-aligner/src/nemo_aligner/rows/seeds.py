"""A seed for every sample of a run, so that any of them can be drawn again alone."""

import hashlib


def seed_of(*parts: int) -> int:
    """A number below 2**63 fixed by `parts` (run seed, step, place in the step)."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big") >> 1
