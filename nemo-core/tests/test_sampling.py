"""Tokens are drawn from the distribution that the settings describe, each row from its own."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.inference import SamplingParams
from nemo_core.inference.sampling import SamplingTable, draw, invert, uniforms

LOGITS = torch.tensor([[2.0, 1.5, 1.0, 0.0, -1.0, -3.0]])
CPU = torch.device("cpu")
RULES = [
    {"top_k": 3},
    {"top_p": 0.6},
    {"min_p": 0.3},
    {"temperature": 0.5},
    {"temperature": 2.0, "top_k": 4, "top_p": 0.8},
    {"top_p": 1e-9},
]


def seeds(count: int) -> np.ndarray:
    return np.full(count, 1, np.uint64)


@pytest.mark.parametrize("rules", RULES)
def test_draws_follow_the_distribution_that_transformers_describes(rules):
    transformers = pytest.importorskip("transformers", reason="the reference implementation is not installed")
    warpers = {
        "temperature": transformers.TemperatureLogitsWarper,
        "top_k": transformers.TopKLogitsWarper,
        "top_p": transformers.TopPLogitsWarper,
        "min_p": transformers.MinPLogitsWarper,
    }
    chosen = transformers.LogitsProcessorList([warpers[k](rules[k]) for k in warpers if k in rules])
    expected = chosen(None, LOGITS.clone()).softmax(-1)[0]
    count = 4000
    table = SamplingTable.of([SamplingParams(**rules)] * count, 6, CPU)
    drawn = draw(LOGITS.expand(count, -1), table, lambda: uniforms(seeds(count), range(count)))
    share = torch.bincount(drawn, minlength=6) / count
    assert (share - expected).abs().max() < 0.03
    assert (share[expected == 0] == 0).all()


def test_a_row_is_drawn_alike_whatever_its_neighbours_ask_for():
    rows = [SamplingParams(**rules) for rules in RULES] + [SamplingParams(), SamplingParams(temperature=0.0)]
    logits = torch.randn(len(rows), 500, generator=torch.Generator().manual_seed(0))
    uniform = uniforms(seeds(len(rows)), range(len(rows)))
    together = draw(logits, SamplingTable.of(rows, 500, CPU), lambda: uniform)
    for index, row in enumerate(rows):
        alone = draw(
            logits[[index]], SamplingTable.of([row], 500, CPU), functools.partial(uniform.__getitem__, [index])
        )
        assert alone == together[index]


@settings(deadline=None)
@given(st.lists(st.floats(0, 10, width=32), min_size=1, max_size=300).filter(any), st.floats(1e-9, 1 - 1e-9))
def test_inverting_finds_the_weight_at_a_share_of_the_total(weights, share):
    found = int(invert(torch.tensor([weights]), torch.tensor([share], dtype=torch.float64)))
    sums = np.cumsum(np.asarray(weights, np.float64))
    slack = 1e-5 * sums[-1]
    assert weights[found] > 0
    assert sums[found] >= share * sums[-1] - slack
    assert sums[found] - weights[found] <= share * sums[-1] + slack


def test_random_numbers_are_spread_evenly_and_differ_by_seed_and_step():
    many = uniforms(np.arange(5000, dtype=np.uint64), [3] * 5000)
    assert ((many > 0) & (many < 1)).all()
    assert np.abs(np.histogram(many.numpy(), 10, (0, 1))[0] - 500).max() < 100
    assert len({*uniforms(seeds(5), range(5)).tolist(), *uniforms(seeds(5) + np.uint64(1), range(5)).tolist()}) == 10


def test_a_tiny_temperature_takes_the_likeliest():
    table = SamplingTable.of([SamplingParams(temperature=1e-30)], 6, CPU)
    assert draw(LOGITS * 1000, table, lambda: torch.tensor([0.99], dtype=torch.float64)) == 0
