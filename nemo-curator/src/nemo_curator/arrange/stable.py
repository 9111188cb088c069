"""Choices that a document's id alone decides, so that neither order nor number of workers changes them."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


def number(identity: str, *, seed: int, purpose: str) -> int:
    """64 bits that seed, purpose and id decide, the same on every machine."""
    digest = hashlib.blake2b(identity.encode("utf-8", "replace"), digest_size=8, key=f"{purpose}/{seed}".encode()[:64])
    return int.from_bytes(digest.digest(), "big")


def fraction(identity: str, *, seed: int, purpose: str) -> float:
    """A number in [0, 1)."""
    return (number(identity, seed=seed, purpose=purpose) >> 11) / 2**53


def numbers(identities: Iterable[str], *, seed: int, purpose: str) -> Hashes:
    """`number` of each."""
    return np.array([number(each, seed=seed, purpose=purpose) for each in identities], np.uint64)


def fractions(identities: Sequence[str], *, seed: int, purpose: str) -> npt.NDArray[np.float64]:
    """`fraction` of each."""
    return np.array([fraction(each, seed=seed, purpose=purpose) for each in identities], np.float64)


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """`total` parted in proportion to `weights`, exactly: the largest remainders get what is left over."""
    whole = sum(weights)
    exact = [total * weight / whole for weight in weights]
    parts = [int(share) for share in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    return parts
