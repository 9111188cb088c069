"""MinHash signatures with the hash family of cuDF's ``Series.str.minhash`` (32-bit), bit for bit.

Permutation (a, b) maps the hash h of a shingle to ``((h*a + b) mod (2**61 - 1)) & 0xffffffff``, and the signature
holds the minimum of each. An empty text has no shingle and its signature is all ones. `a` and `b` are uint32.
"""

import numpy as np
import numpy.typing as npt

from .library import FLAGS, I64, TEXTS, U32, U64, Hash, Number, counted, kernel
from .strings import Bytes, Offsets

EMPTY = np.uint32(0xFFFFFFFF)
Signatures = npt.NDArray[np.uint32]

_permutations_wrap = kernel("permutations_wrap", U32, U32, Number, FLAGS)
_signatures = kernel("signatures", *TEXTS, U32, U32, Number, Number, Hash, U32)
_signatures_of_hashes = kernel("signatures_of_hashes", U32, Number, I64, Number, U32, U32, Number, U32)
_band_keys = kernel("band_keys", U32, Number, Number, Number, U64)


def may_wrap(a: Signatures, b: Signatures) -> npt.NDArray[np.bool_]:
    """For each (a, b), whether the residue of some 32-bit h wraps, so that the fast way to it does not hold."""
    out = np.empty(len(a), np.bool_)
    _permutations_wrap(a, b, len(a), out)
    return out


def signatures_of_hashes(hashes: Signatures, starts: Offsets, a: Signatures, b: Signatures) -> Signatures:
    """Signatures [documents, permutations] of documents whose shingle hashes are ``hashes[starts[i]:starts[i+1]]``."""
    out = np.full((len(starts) - 1, len(a)), EMPTY, np.uint32)
    _signatures_of_hashes(*counted(hashes, starts), a, b, len(a), out)
    return out


def signatures(data: Bytes, offsets: Offsets, a: Signatures, b: Signatures, width: int, seed: int) -> Signatures:
    """Signatures [documents, permutations] of the strings in an Arrow buffer, from windows of `width` characters."""
    out = np.full((len(offsets) - 1, len(a)), EMPTY, np.uint32)
    _signatures(*counted(data, offsets), a, b, len(a), width, int(seed), out)
    return out


def band_keys(minima: Signatures, bands: int) -> npt.NDArray[np.uint64]:
    """A 64-bit key [bands, documents] for each band of a signature: equal bands have equal keys."""
    documents, permutations = minima.shape
    out = np.empty((bands, documents), np.uint64)
    _band_keys(np.ascontiguousarray(minima), documents, permutations, bands, out)
    return out
