"""Words as a linguist's tokenizer cuts them: runs of letters, digits and marks; runs of one other character.

This is what stands in for spaCy's tokenizer where datatrove's rules are applied: punctuation is a word of its own. As
there, one ASCII sign within a word belongs to it (``3.5``, ``os.path``, ``f(x``), but for commas, hyphens and slashes
between letters, a sign of ``:<>=/`` before a letter, and a full stop before a capital.
"""

import numpy as np
from numba import njit

from .characters import LETTER, MARK, NUMERIC, SIGN, SPACE, bits_of, code_point
from .words import PRIME, SEED, mix

IN_WORD = LETTER | NUMERIC | MARK
SYMBOL, WITH_LETTER = 1, 2


@njit(cache=True, nogil=True)
def parts(sign, before, behind):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether a sign between two word characters, of which the classes are given, ends the word before it.

    spaCy's infixes for English: comma and hyphens between letters, ``:<>=/`` before a letter, signs of sums of digits.
    """
    letters = before & LETTER and behind & LETTER
    if sign in (44, 45, 126):  # , - ~
        return letters or (sign == 45 and before & NUMERIC and behind & NUMERIC and not (before | behind) & LETTER)
    if sign in (58, 60, 61, 62, 47):  # : < = > /
        return behind & LETTER
    return sign in (42, 43, 94) and before & NUMERIC and behind & NUMERIC and not (before | behind) & LETTER  # * + ^


@njit(cache=True, nogil=True)
def joins(data, i, end, before, table):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Bytes of a sign at `i` that belongs to the word around it, 0 where it ends the word.

    `before` has the classes of the character before. Signs are ASCII's and the typographic apostrophe.
    """
    code, step = code_point(data, i, end)
    if (code >= 0x80 and code != 0x2019) or i + step >= end:
        return 0
    following, _ = code_point(data, i + step, end)
    behind = bits_of(following, table)
    if not behind & IN_WORD or (code in (39, 0x2019) and not behind & LETTER):
        return 0
    if code == 46 and 65 <= following <= 90 and 97 <= data[i - 1] <= 122:
        return 0
    return 0 if parts(code, before, behind) else step


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
        before = bits
        code, step = code_point(data, i, end)
        bits = bits_of(code, table)
        if not bits & IN_WORD and code != 95:
            step = 0 if bits & SPACE else joins(data, i, end, before, table)
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
