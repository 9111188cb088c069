"""Words as a linguist's tokenizer cuts them: runs of letters, digits and marks; runs of one other character.

This is what stands in for spaCy's tokenizer where datatrove's rules are applied: punctuation is a word of its own.
An apostrophe between letters belongs to the word.
"""

import numpy as np
from numba import njit

from .characters import LETTER, MARK, NUMERIC, SIGN, SPACE, bits_of, code_point
from .words import PRIME, SEED, mix

IN_WORD = LETTER | NUMERIC | MARK
SYMBOL, WITH_LETTER = 1, 2


@njit(cache=True, nogil=True)
def joins(data, i, end, table):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Bytes of an apostrophe at `i` that a letter follows; 0 where there is none."""
    code, step = code_point(data, i, end)
    if (code != 39 and code != 0x2019) or i + step >= end:
        return 0
    following, _ = code_point(data, i + step, end)
    return step if bits_of(following, table) & LETTER else 0


@njit(cache=True, nogil=True)
def token_end(data, start, end, table):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """End, length in characters and kind of the token that begins at `start`."""
    first, step = code_point(data, start, end)
    bits = bits_of(first, table)
    i, length = start + step, 1
    if not bits & IN_WORD:
        while i < end:
            code, step = code_point(data, i, end)
            if code != first:
                break
            i, length = i + step, length + 1
        return i, length, SYMBOL if bits & SIGN else 0
    letter = bits & LETTER
    while i < end:
        code, step = code_point(data, i, end)
        bits = bits_of(code, table)
        if not bits & IN_WORD and code != 95:
            step = joins(data, i, end, table) if letter else 0
            if not step:
                break
        letter |= bits & LETTER
        i, length = i + step, length + 1
    return i, length, WITH_LETTER if letter else 0


@njit(cache=True, nogil=True)
def split_tokens(data, span, table, starts, ends, lengths, hashes, kinds):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill the arrays with the tokens of ``data[span[0]:span[1]]``; their number."""
    i, end = span
    count = 0
    while i < end:
        code, step = code_point(data, i, end)
        if bits_of(code, table) & SPACE:
            i += step
            continue
        stop, length, kind = token_end(data, i, end, table)
        value = SEED
        for k in range(i, stop):
            value = (value ^ np.uint64(data[k])) * PRIME
        starts[count], ends[count], lengths[count] = i, stop, length
        hashes[count], kinds[count] = mix(value), kind
        count, i = count + 1, stop
    return count
