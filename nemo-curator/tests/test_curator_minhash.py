"""MinHash signatures are those of cuDF, bit for bit."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_curator.dedup.fuzzy import signature
from nemo_curator.dedup.lsh import candidate_probability, curve, permutations, threshold
from nemo_curator.dedup.settings import FuzzyDedup
from nemo_curator.kernels.minhash import EMPTY, band_keys, may_wrap, signatures, signatures_of_hashes
from nemo_curator.kernels.murmur import murmur3_32
from nemo_curator.kernels.strings import buffers

PRIME = (1 << 61) - 1
M32 = 0xFFFFFFFF


def reference_murmur(data: bytes, seed: int) -> int:
    """MurmurHash3_x86_32 with Python's integers."""
    value = seed
    for i in range(0, len(data) - len(data) % 4, 4):
        block = int.from_bytes(data[i : i + 4], "little") * 0xCC9E2D51 & M32
        block = (block << 15 | block >> 17) & M32
        value ^= block * 0x1B873593 & M32
        value = ((value << 13 | value >> 19) & M32) * 5 + 0xE6546B64 & M32
    tail = data[len(data) - len(data) % 4 :]
    if tail:
        block = int.from_bytes(tail, "little") * 0xCC9E2D51 & M32
        block = (block << 15 | block >> 17) & M32
        value ^= block * 0x1B873593 & M32
    value ^= len(data)
    value = (value ^ value >> 16) * 0x85EBCA6B & M32
    value = (value ^ value >> 13) * 0xC2B2AE35 & M32
    return value ^ value >> 16


def reference_signature(text: str, a, b, width: int, seed: int) -> list[int]:
    """The definition, one window and one permutation at a time."""
    windows = [text[i : i + width] for i in range(max(1, len(text) - width + 1))] if text else []
    hashes = [reference_murmur(window.encode(), seed) for window in windows]
    return [
        min(((h * int(x) + int(y)) % PRIME & M32 for h in hashes), default=int(EMPTY))
        for x, y in zip(a, b, strict=True)
    ]


def kernel_signature(texts: list[str], a, b, width: int, seed: int):
    data, offsets = buffers(pa.array(texts, pa.string()))
    return signatures(data, offsets, np.asarray(a, np.uint32), np.asarray(b, np.uint32), width, np.uint32(seed))


def test_signatures_equal_those_in_cudf_documentation():
    found = kernel_signature(["this is my", "favorite book"], [1, 2, 3], [4, 5, 6], 5, 0)
    assert found.tolist() == [[1305480171, 462824409, 74608232], [32665388, 65330773, 97996158]]


@pytest.mark.parametrize(
    ("data", "seed", "wanted"),
    [(b"", 0, 0), (b"", 1, 0x514E28B7), (b"test", 0, 0xBA6BD213), (b"test", 0x9747B28C, 0x704B81DC)],
)
def test_murmur_equals_published_values(data, seed, wanted):
    array = np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)
    assert murmur3_32(array, seed) == wanted == reference_murmur(data, seed)


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


@settings(deadline=None, max_examples=150)
@given(texts=st.lists(TEXT, min_size=1, max_size=4), width=st.integers(2, 30), seed=st.integers(0, M32))
def test_signatures_equal_the_definition_in_any_script(texts, width, seed):
    a, b = permutations(count=7, seed=1)
    wanted = [reference_signature(text, a, b, width, seed) for text in texts]
    assert kernel_signature(texts, a, b, width, seed).tolist() == wanted


@pytest.mark.parametrize("length", [1, 23, 24, 25, 1023, 1024, 1025, 1047, 1048, 3000])
def test_texts_around_the_width_and_the_tile_are_right(length):
    text = ("äbc déf " * 400)[:length]
    a, b = permutations(count=3, seed=42)
    assert kernel_signature([text], a, b, 24, 9)[0].tolist() == reference_signature(text, a, b, 24, 9)


def reference_minima(hashes: list[int], a: list[int], b: list[int]) -> list[int]:
    return [min((h * x + y) % PRIME & M32 for h in hashes) for x, y in zip(a, b, strict=True)]


def kernel_minima(hashes: list[int], a: list[int], b: list[int]) -> list[int]:
    arrays = [np.array(values, np.uint32) for values in (hashes, a, b)]
    starts = np.array([0, len(hashes)], np.int64)
    return signatures_of_hashes(arrays[0], starts, *arrays[1:])[0].tolist()


@pytest.mark.parametrize("b", range(536870906, 536870918))
def test_the_residue_is_right_where_it_wraps(b):
    """(2**32 - 1) * 2**29 + b runs through 2**61 - 1, where it wraps."""
    (wraps,) = may_wrap(np.array([536870912], np.uint32), np.array([b], np.uint32))
    assert wraps == (b == 536870911)
    assert kernel_minima([M32], [536870912], [b]) == reference_minima([M32], [536870912], [b])


HASH = st.integers(0, M32)
FACTOR = st.integers(1, M32 // 2) | st.sampled_from([1, 2, 3, 4, 8, 24, 1 << 20, 1 << 30, M32 // 2])


@settings(deadline=None, max_examples=300)
@given(st.lists(HASH, min_size=1, max_size=200), st.lists(st.tuples(FACTOR, HASH), min_size=1, max_size=9))
def test_minima_equal_the_definition(hashes, family):
    a, b = [x for x, _ in family], [y % (M32 // 2) for _, y in family]
    assert kernel_minima(hashes, a, b) == reference_minima(hashes, a, b)


@settings(deadline=None, max_examples=300)
@given(FACTOR.filter(lambda a: a % 2 == 1), st.integers(0, M32 // 2), HASH, st.integers(0, 5))
def test_minima_are_right_where_low_halves_nearly_tie(a, b, low, carried):
    """Hashes whose low halves differ by at most 5, so that the carry decides between them."""
    inverse = pow(a, -1, 1 << 32)
    hashes = [(low + step - carried - b) * inverse % (1 << 32) for step in range(6)]
    assert kernel_minima(hashes, [a], [b]) == reference_minima(hashes, [a], [b])


def test_no_permutation_of_the_default_wraps():
    assert not may_wrap(*permutations(count=260, seed=42)).any()


def test_permutations_are_those_of_numpy_seed_42_drawn_in_turn():
    random = np.random.RandomState(42)
    drawn = [(random.randint(1, 2**31 - 1), random.randint(0, 2**31 - 1)) for _ in range(260)]
    a, b = permutations(count=260, seed=42)
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == drawn


def test_slices_and_nulls_of_an_arrow_column_read_right():
    column = pa.array(["first", None, "second text", "third"])
    a, b = permutations(count=4, seed=0)
    data, offsets = buffers(column.slice(1))
    found = signatures(data, offsets, a, b, 3, np.uint32(0))
    assert found.tolist() == kernel_signature(["", "second text", "third"], a, b, 3, 0).tolist()
    assert (found[0] == EMPTY).all()


def test_band_keys_agree_exactly_where_bands_do():
    random = np.random.RandomState(0)
    rows = random.randint(0, 3, (200, 6)).astype(np.uint32)
    keys = band_keys(rows, 3)
    for band in range(3):
        names = [hashlib.md5(f"{band}{row[2 * band : 2 * band + 2].tolist()}".encode()).hexdigest() for row in rows]
        same_keys = keys[band][:, None] == keys[band][None, :]
        same_bands = np.array(names)[:, None] == np.array(names)[None, :]
        assert (same_keys == same_bands).all()
    assert not set(keys[0]) & set(keys[1])


def test_signature_of_a_batch_is_that_of_its_parts():
    texts = pa.array([f"document number {i} about the sea and the sand" for i in range(9)])
    whole = signature(texts, FuzzyDedup())
    parts = np.vstack([signature(texts.slice(0, 4), FuzzyDedup()), signature(texts.slice(4), FuzzyDedup())])
    assert (whole == parts).all()


def test_shares_of_equal_hashes_estimate_jaccard_similarity():
    first, second = "".join(chr(97 + i % 26) + str(i) for i in range(400)), ""
    second = first[: len(first) // 2] + first[len(first) // 2 :].upper()
    windows = [{text[i : i + 24] for i in range(len(text) - 23)} for text in (first, second)]
    jaccard = len(windows[0] & windows[1]) / len(windows[0] | windows[1])
    a, b = permutations(count=2000, seed=3)
    one, two = kernel_signature([first, second], a, b, 24, 5)
    assert abs((one == two).mean() - jaccard) < 0.05


def test_the_curve_is_that_of_banding():
    assert candidate_probability(0.8, bands=20, rows=13) == pytest.approx(0.677, abs=5e-4)
    assert candidate_probability(0.9, bands=20, rows=13) == pytest.approx(0.997, abs=5e-4)
    assert threshold(bands=20, rows=13) == pytest.approx(0.794, abs=5e-4)
    assert curve(bands=20, rows=13) == (
        "20 bands of 13: finds pairs of Jaccard similarity 0% at 0.5, 3% at 0.6, 18% at 0.7, 68% at 0.8, 100% at 0.9"
    )
