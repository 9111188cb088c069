"""MurmurHash3_x86_32 (Appleby, public domain), with which cuDF's MinHash hashes every window of characters."""

from .library import U8, Hash, Number, kernel
from .strings import Bytes

_murmur3_32 = kernel("murmur3_32", U8, Number, Hash)


def murmur3_32(data: Bytes, seed: int) -> int:
    """The hash of a buffer."""
    return int(_murmur3_32(data, len(data), seed))
