"""Several collections in one stream: exact shares after any number of samples, and no work that grows with them."""

import json
import time
from fractions import Fraction

import numpy as np
import pytest

from nemo_core.cli import main
from nemo_core.data.batch_size import BatchSizes, RampUp
from nemo_core.data.blend import LONGEST_PERIOD, blend, shares, whole_parts
from nemo_core.data.indexed import IndexedDataset, data_path, write_index
from nemo_core.data.windows import Windows, pretrain_data
from nemo_core.foundation.errors import ConfigError


def counts_after(chosen, number, places):
    seen = np.zeros(number, dtype=int)
    for place in range(places):
        collection, sample = chosen.locate(place)
        assert sample == seen[collection], "samples of a collection come one after the other"
        seen[collection] += 1
        yield place + 1, seen


@pytest.mark.parametrize(
    "weights",
    [
        {"a": 1},
        {"a": 0.7, "b": 0.3},
        {"a": 0.5, "b": 0.25, "c": 0.125, "d": 0.125},
        {"a": 3, "b": 5, "c": 1},
        {str(n): n % 7 + 1 for n in range(20)},
        {"a": 1_000_000, "b": 1},
    ],
)
def test_no_collection_is_ever_a_whole_sample_from_its_share(weights):
    exact = np.array([float(share) for share in shares(weights)])
    for total, seen in counts_after(blend(weights), len(weights), 5000):
        assert np.abs(seen - exact * total).max() < 1


def test_shares_are_exact_fractions_of_what_was_written():
    assert shares({"a": 0.7, "b": 0.3}) == [Fraction(7, 10), Fraction(3, 10)]
    assert shares({"a": 2, "b": 1}) == [Fraction(2, 3), Fraction(1, 3)]
    parts = whole_parts(shares({"a": 123_456_789, "b": 987_654_321, "c": 5}))
    assert sum(parts) <= LONGEST_PERIOD
    assert parts[0] / sum(parts) == pytest.approx(123_456_789 / 1_111_111_115, abs=1e-6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": 0.7, "b": 0.2}, r"weights sum to 0.9, not 1 \(a=0.7, b=0.2\); give shares that sum to 1, or whole"),
        ({"a": 0.5, "b": 0.0}, "b: weight=0.0; a weight must be above 0"),
        ({"a": -1, "b": 2}, "a: weight=-1"),
        ({"a": float("nan")}, "a: weight=nan"),
        ({"a": 1.5, "b": 1}, "weights sum to 2.5, not 1"),
    ],
)
def test_weights_that_are_no_shares_are_named(weights, message):
    with pytest.raises(ConfigError, match=message):
        shares(weights)


@pytest.fixture(scope="session")
def billion(tmp_path_factory):
    """A sparse dataset of 2.56e11 tokens: windows of 256 make 1e9 samples."""
    prefix = tmp_path_factory.mktemp("billion") / "huge.v1"
    lengths = np.full(1280, 200_000_000, dtype=np.int32)
    write_index(prefix, lengths, np.dtype(np.uint16))
    with open(data_path(prefix), "wb") as handle:
        handle.truncate(int(lengths.sum(dtype=np.int64)) * 2)
    return prefix


def test_a_run_over_a_billion_samples_starts_at_once(billion):
    started = time.process_time()
    windows = Windows(IndexedDataset(billion).tokens, 256, vocab_size=100)
    data = pretrain_data({"a": windows, "b": windows}, {"a": 0.9, "b": 0.1}, seed=0, sizes=BatchSizes(8))
    assert windows.num_whole == 1_000_000_000 - 1
    for step in (0, 123_456_789, 10**12):
        assert data.batch(step).ids_BT.shape == (8, 256)
    assert time.process_time() - started < 2


def test_a_blend_reads_each_collection_once_an_epoch():
    tokens = {"a": np.arange(41), "b": np.arange(100, 121)}
    windows = {name: Windows(stream, 4) for name, stream in tokens.items()}
    data = pretrain_data(windows, {"a": 2, "b": 1}, seed=3, sizes=BatchSizes(3))
    seen = sorted(int(first) for step in range(5) for first in data.batch(step).ids_BT[:, 0])
    assert seen == [*range(0, 40, 4), *range(100, 120, 4)]


def test_a_batch_grows_as_megatrons_does():
    calculators = pytest.importorskip("megatron.core.num_microbatches_calculator", reason="megatron-core is missing")
    start, increment, samples, final = 4, 4, 300, 20
    theirs = calculators.RampupBatchsizeNumMicroBatchesCalculator(final, 1, 1, False, 0, start, increment, samples)
    sizes = BatchSizes(final, RampUp(start=start, increment=increment, samples=samples))
    consumed = 0
    for step in range(60):
        theirs.update(consumed, False)
        assert sizes.span(step) == range(consumed, consumed + theirs.get_current_global_batch_size())
        consumed += len(sizes.span(step))
    assert len(sizes.span(59)) == final


def test_a_ramp_that_misses_the_batch_size_is_named():
    with pytest.raises(
        ConfigError, match=r"ramp_up.start=3 does not reach batch_size=8 in steps of ramp_up.increment=2"
    ):
        BatchSizes(8, RampUp(start=3, increment=2, samples=10))


def test_pretraining_learns_from_a_blend_and_from_megatrons_own_files(tokens, tiny_words, tmp_path, capsys):
    words = [word for word in tiny_words if not word.startswith("tokens=")]
    sources = f"[{{tokens: {tokens}, weight: 0.75}}, {{tokens: {tokens / 'train'}, weight: 0.25}}]"
    blended = [*words, f"data={sources}", f"tokenizer={tokens / 'tokenizer'}", "steps=2", "ramp_up.start=2"]
    assert main(["pretrain", *blended, "ramp_up.increment=2", "ramp_up.samples=2", f"output={tmp_path / 'm'}"]) == 0
    manifest = json.loads((tmp_path / "m/manifest.json").read_text())
    assert manifest["stats"]["tokens"] == (2 + 4) * 32
    assert manifest["inputs"].keys() == {"data.0", "data.1"}
    for word, message in [
        (f"data=[{{tokens: {tokens}, weight: 0.5}}]", "weights sum to 0.5, not 1"),
        (f"data=[{{tokens: {tokens}, wight: 1}}]", "wight"),
        (f"data=[{{tokens: {tokens}, weight: 1}}, {{tokens: {tokens}, weight: 2}}]", "twice; give one entry"),
        ("steps=3", "nothing to learn from; give tokens=FOLDER, or a blend"),
        (f"tokens={tokens / 'train'}", "a plain indexed dataset names no tokenizer; give its folder: tokenizer=..."),
    ]:
        assert main(["pretrain", *words, word, f"output={tmp_path / 'n'}"]) == 2
        assert message in capsys.readouterr().err
