"""All kernels over one set of texts. As a script: over hostile ones; prints the library and a digest of all answers."""

import ctypes
import hashlib
import os
import random
from pathlib import Path

import numpy as np

from nemo_curator.kernels import library

PARTS = (
    *("the ", "a b ", "\n", "\n\n", "\t", "...", "\u2026", "#", "- x", "\u2022 y", "\u3002", "!", "\u201d", "\u00a0"),
    *(
        "\u2028",
        "\r\n",
        "\x1c",
        "\x85",
        "x.Y",
        "3.5",
        "é",
        "漢字",
        "\U00020000",
        "\U000e0101",
        "[",
        "\u27e8",
        "_",
        "\0",
    ),
)


def hostile(texts):
    """Bytes and offsets of texts that end exactly where their buffer ends."""
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    return np.frombuffer(bytearray(b"".join(texts)), np.uint8), offsets


def hostile_texts():
    """Every byte and pair of bytes, random bytes, cut and repeated characters, long lines, empty texts."""
    rng = random.Random(5)
    mixed = ["".join(rng.choice(PARTS) for _ in range(rng.randrange(90))).encode() for _ in range(400)]
    cut = [text[rng.randrange(3) : len(text) - rng.randrange(3)] for text in mixed if len(text) > 6]
    pairs = [bytes([a, b]) for a in (*range(0, 128, 9), *range(128, 256, 3)) for b in range(0, 256, 5)]
    long = [b"x" * 5000, b"ab " * 2000, "漢".encode() * 900, b"\n" * 3000, b" " * 3000, b"\xff" * 3000, b"\xf0" * 2999]
    noise = [rng.randbytes(rng.randrange(300)) for _ in range(400)]
    return [b"", *(bytes([a]) for a in range(256)), *pairs, *mixed, b"", b"", *cut, *noise, *long, b"\xe2\x80"]


def sweep(data, offsets):
    """The answers of every kernel that reads texts, and of those that read what these yield."""
    from nemo_curator.dedup.fuzzy import permutations
    from nemo_curator.filter.scores.nemo_lines import marks
    from nemo_curator.kernels import datatrove, lines, minhash, nemo, runs, scores, shingles, sketch, units
    from nemo_curator.kernels.characters import classes, count_characters

    a, b = permutations(count=13, seed=42)
    words, starts = runs.plain_words(data, offsets, classes())
    yield from (words, starts, count_characters(data, offsets, classes()), scores.score_documents(data, offsets))
    yield datatrove.score_documents(data, offsets)
    yield lines.count_lines(data, offsets, *marks())
    spans, repeated = nemo.repeat_ngrams(data, offsets)
    yield from (np.where(spans < 0, -1, spans - offsets[:-1, None, None]), repeated)
    yield runs.character_repetition(data, offsets, 10)
    yield runs.word_repetition(words, starts, 3)
    yield runs.listed_words(words, starts, np.arange(len(starts) - 1), np.unique(words)[::2].copy())
    for width in (1, 5, 24):
        yield minhash.signatures(data, offsets, a, b, width, 7)
        for by_words in (False, True):
            hashes, begins = shingles.shingle_hashes(data, offsets, width, by_words)
            yield from (hashes, begins, sketch.sketches(hashes, begins, 16, 42))
            yield minhash.signatures_of_hashes((hashes >> np.uint64(32)).astype(np.uint32), begins, a, b)
    for unit in range(4):
        yield from units.unit_windows(data, offsets, unit, 2, 3)
    least, _, begins = units.minimizers(data, offsets, 20, 8)
    yield from (least, begins, *units.chosen_windows(data, offsets, 20, begins, least % np.uint64(3) == 0))
    yield from texts_one_by_one(data, offsets)


def texts_one_by_one(data, offsets):
    """The answers of kernels that take one text, for some of them."""
    from nemo_curator.kernels import tokens, windows

    for row in range(0, len(offsets) - 1, 1 + len(offsets) // 200):
        text = data[offsets[row] : offsets[row + 1]].copy()
        cut = tokens.split_tokens(text)
        yield from (cut.starts, cut.ends, cut.lengths, cut.hashes, cut.kinds)
        words = windows.find_words(text)
        keys = np.unique(windows.window_hashes(words.hashes, 3))
        table = windows.build_table(keys, 1 << max(4, (2 * len(keys)).bit_length()))
        yield from (words.starts, words.ends, words.hashes, keys)
        yield windows.find_windows(words.hashes, np.array([3, 2]), *table)


def digest_of(answers):
    """One digest of arrays, their types and shapes."""
    content = hashlib.sha256()
    for answer in answers:
        content.update(f"{answer.dtype}{answer.shape}".encode() + np.ascontiguousarray(answer).tobytes())
    return content.hexdigest()


def main():
    """Sweep with the library that SWEEP_LIBRARY names, or the usual one."""
    own = os.environ.get("SWEEP_LIBRARY")
    if own:
        loaded = ctypes.CDLL(own)
        library.library = lambda: loaded
    texts = [b""] * 50 if os.environ.get("SWEEP_TEXTS") == "empty" else hostile_texts()
    print(Path(library.library()._name).name, digest_of(sweep(*hostile(texts))))


if __name__ == "__main__":
    main()
