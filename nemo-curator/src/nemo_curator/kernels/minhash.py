"""MinHash signatures with the hash family of cuDF's ``Series.str.minhash`` (32-bit), bit for bit.

Permutation (a, b) maps the hash h of a shingle to ``((h*a + b) mod (2**61 - 1)) & 0xffffffff``, and the signature
holds the minimum of each. An empty text has no shingle and its signature is all ones.

With x = h*a + b < 2**63 the value is that of low32(x) + (x >> 61), save where the residue wraps. The second term is
3 at most, so the minimum is sought among the low halves, with 32-bit arithmetic on full vectors, and settled
afterwards: from the least low half follows the h that has it, by the inverse of a; and only for a few permutations
can a neighbour be less. Where that cannot be excluded, all values of the permutation are computed.
"""

import numpy as np
from numba import njit

from .murmur import window_hashes

MASK61 = np.uint64((1 << 61) - 1)
EMPTY = np.uint32(0xFFFFFFFF)
TILE = 2048
ABREAST = 4
LOW32 = np.uint64(0xFFFFFFFF)
MAX_SHIFT = 3


@njit(cache=True, nogil=True)
def may_wrap(a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """For each (a, b), whether some 32-bit h makes t >= p: whether h*a + b can be (k+1)*2**61 - 1 - j, j <= k.

    t is (x & p) + (x >> 61) with p = 2**61 - 1; where it reaches p, the residue is t - p.
    """
    found = np.zeros(a.shape[0], np.bool_)
    for i in range(a.shape[0]):
        for k in range(4):
            for j in range(k + 1):
                target = np.uint64(k + 1) * (MASK61 + np.uint64(1)) - np.uint64(1 + j)
                product = target - np.uint64(b[i])
                h = product // np.uint64(a[i])
                found[i] |= h * np.uint64(a[i]) == product and h < np.uint64(1 << 32)
    return found


@njit(cache=True, nogil=True)
def whole_minimum(hashes, count, a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The minimum of one permutation, by all its values."""
    least = EMPTY
    a_k, b_k = np.uint64(a), np.uint64(b)
    for i in range(count):
        x = np.uint64(hashes[i]) * a_k + b_k
        t = (x & MASK61) + (x >> np.uint64(61))
        least = min(least, np.uint32(t + ((t + np.uint64(1)) >> np.uint64(61))))
    return least


@njit(cache=True, nogil=True)
def least_low_halves(hashes, count, a, b, lows):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Lower each of `lows` to the least ``(h*a + b + 3) mod 2**32``; their number is a multiple of ABREAST.

    The added 3 puts the values that the second term may carry beyond 2**32 at 0, 1 and 2.
    """
    three = np.uint32(3)
    for first in range(0, count, TILE):
        last = min(first + TILE, count)
        for k in range(0, a.shape[0], ABREAST):
            a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
            b0, b1 = np.uint32(b[k] + three), np.uint32(b[k + 1] + three)
            b2, b3 = np.uint32(b[k + 2] + three), np.uint32(b[k + 3] + three)
            l0, l1, l2, l3 = lows[k], lows[k + 1], lows[k + 2], lows[k + 3]
            for i in range(first, last):
                h = hashes[i]
                l0 = min(l0, np.uint32(h * a0 + b0))
                l1 = min(l1, np.uint32(h * a1 + b1))
                l2 = min(l2, np.uint32(h * a2 + b2))
                l3 = min(l3, np.uint32(h * a3 + b3))
            lows[k], lows[k + 1], lows[k + 2], lows[k + 3] = l0, l1, l2, l3


@njit(cache=True, nogil=True)
def inverses(a):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """For each a = odd * 2**shift, the inverse of the odd part modulo 2**32, and the shift."""
    inverse, shift = np.empty(a.shape[0], np.uint32), np.zeros(a.shape[0], np.uint32)
    for k in range(a.shape[0]):
        odd = a[k]
        while odd & np.uint32(1) == 0 and shift[k] < 32:
            odd >>= np.uint32(1)
            shift[k] += np.uint32(1)
        guess = odd
        for _ in range(5):
            guess = np.uint32(guess * np.uint32(np.uint32(2) - np.uint32(odd * guess)))
        inverse[k] = guess
    return inverse, shift


@njit(cache=True, nogil=True)
def mark(hashes, count, bits, room):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Set the bit of every hash, by its leading binary digits, in the first 2**bits of `room`."""
    words = np.int64(1) << max(np.int64(0), bits - 6)
    for i in range(words):
        room[i] = np.uint64(0)
    for i in range(count):
        place = np.int64(hashes[i]) >> (32 - bits)
        room[place >> 6] |= np.uint64(1) << np.uint64(place & 63)


@njit(cache=True, nogil=True, inline="always")
def marked(value, bits, room):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether the bit of `value` is set."""
    place = np.int64(value) >> (32 - bits)
    return (room[place >> 6] >> np.uint64(place & 63)) & np.uint64(1) != 0


@njit(cache=True, nogil=True)
def settled(low, a, b, inverse, shift, bits, room):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The minimum that belongs to the least low half; -1 where more than one hash may have a part in it."""
    a_k, b_k = np.uint64(a), np.uint64(b)
    best, carry = np.int64(-1), np.uint64(3)
    for step in range(3):  # a neighbour `step` higher is less if its second term is smaller by more than that
        if np.uint64(step) > carry:
            break
        offset = np.uint32(low + np.uint32(step) - b)
        if offset & np.uint32((np.uint64(1) << np.uint64(shift)) - np.uint64(1)) != 0:
            continue
        base = np.uint32(np.uint32(offset >> shift) * inverse)
        stride = np.uint64(1) << np.uint64(np.uint64(32) - np.uint64(shift))
        base = np.uint32(np.uint64(base) & (stride - np.uint64(1)))
        for turn in range(np.int64(1) << np.int64(shift)):
            h = np.uint64(base) + np.uint64(turn) * stride
            if not marked(h, bits, room):
                continue
            high = (h * a_k + b_k) >> np.uint64(61)
            if step == 0 and best < 0:
                best, carry = np.int64(low) + np.int64(high), high
            elif step == 0 or np.uint64(step) + high < carry:
                return np.int64(-1)
    return best


@njit(cache=True, nogil=True)
def lower_minima(hashes, count, family, room, lows, minima):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Set `minima` to the minimum of every permutation of `family` over ``hashes[:count]``."""
    a, b, wraps, inverse, shift = family
    for k in range(lows.shape[0]):
        lows[k] = EMPTY
    least_low_halves(hashes, count, a, b, lows)
    bits = min(32, max(12, 6 + np.int64(np.ceil(np.log2(count + 1)))))
    bits = min(bits, 6 + np.int64(np.floor(np.log2(room.shape[0]))))
    mark(hashes, count, bits, room)
    for k in range(minima.shape[0]):
        value = np.int64(-1)
        if not wraps[k] and lows[k] >= 3 and shift[k] <= MAX_SHIFT:
            value = settled(np.uint32(lows[k] - np.uint32(3)), a[k], b[k], inverse[k], shift[k], bits, room)
        minima[k] = np.uint32(value) if value >= 0 else whole_minimum(hashes, count, a[k], b[k])


@njit(cache=True, nogil=True)
def prepared(a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The permutations, filled up to a multiple of ABREAST, and what `settled` needs to know of each."""
    size = (a.shape[0] + ABREAST - 1) // ABREAST * ABREAST
    all_a, all_b = np.empty(size, np.uint32), np.empty(size, np.uint32)
    for k in range(size):  # to assign slices takes two seconds more to compile
        all_a[k], all_b[k] = (a[k], b[k]) if k < a.shape[0] else (np.uint32(1), np.uint32(0))
    inverse, shift = inverses(all_a)
    return all_a, all_b, may_wrap(all_a, all_b), inverse, shift


@njit(cache=True, nogil=True)
def longest_of(offsets):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Bytes of the longest string, 1 at least."""
    longest = np.int64(1)
    for row in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    return longest


@njit(cache=True, nogil=True)
def signatures_of_hashes(hashes, starts, a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Signatures [documents, permutations] of documents whose shingle hashes are ``hashes[starts[i]:starts[i+1]]``."""
    rows = starts.shape[0] - 1
    minima = np.full((rows, a.shape[0]), EMPTY, np.uint32)
    family = prepared(a, b)
    room = np.empty(max(64, 2 * longest_of(starts)), np.uint64)
    lows = np.empty(family[0].shape[0], np.uint32)
    for row in range(rows):
        some = hashes[starts[row] : starts[row + 1]]
        if some.shape[0]:
            lower_minima(some, some.shape[0], family, room, lows, minima[row])
    return minima


@njit(cache=True, nogil=True)
def signatures(data, offsets, a, b, width, seed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Signatures [documents, permutations] of the strings in an Arrow buffer; `a` and `b` are uint32."""
    rows = offsets.shape[0] - 1
    minima = np.full((rows, a.shape[0]), EMPTY, np.uint32)
    longest = longest_of(offsets)
    hashes = np.empty(longest, np.uint32)
    family = prepared(a, b)
    room = np.empty(max(64, 2 * longest), np.uint64)
    lows = np.empty(family[0].shape[0], np.uint32)
    for row in range(rows):
        count = window_hashes(data, offsets[row], offsets[row + 1], width, seed, hashes)
        if count:
            lower_minima(hashes, count, family, room, lows, minima[row])
    return minima


@njit(cache=True, nogil=True)
def band_keys(minima, bands):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """A 64-bit key [bands, documents] for each band of a signature: equal bands have equal keys.

    The mixing step is the finaliser of MurmurHash3_x64_128; two different bands collide with probability 2**-64.
    """
    documents, permutations = minima.shape
    rows = permutations // bands
    keys = np.empty((bands, documents), np.uint64)
    for document in range(documents):
        for band in range(bands):
            key = np.uint64(band + 1) * np.uint64(0x9E3779B97F4A7C15)
            for k in range(band * rows, (band + 1) * rows):
                key = (key ^ np.uint64(minima[document, k])) * np.uint64(0xFF51AFD7ED558CCD)
                key ^= key >> np.uint64(33)
                key *= np.uint64(0xC4CEB9FE1A85EC53)
                key ^= key >> np.uint64(29)
            keys[band, document] = key
    return keys
