"""What must hold of a batch's loss and gradient however the batch is cut, ordered or padded."""

import math
import random

import pytest
import torch
from torch.testing import assert_close

from nemo_aligner.algorithms.dpo import DpoObjective, Pair
from nemo_aligner.algorithms.grpo import Experience, GrpoObjective
from nemo_aligner.logprobs import Turn, answer_log_probs, bucket_by_length, collate, sum_by_turn
from nemo_aligner.roles.policy import add_up
from nemo_aligner.roles.reference import turn_log_probs
from nemo_core.config import ModelConfig
from nemo_core.model.decoder import Decoder


@pytest.fixture(scope="module")
def model():
    config = ModelConfig(
        vocab_size=50,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        ffn_size=48,
        max_positions=64,
        initializer_range=0.2,
    )
    return Decoder(config, seed=1).train()


def turns_of(count, seed=0):
    draw = random.Random(seed)
    return [
        Turn(draw.choices(range(50), k=draw.randint(1, 9)), draw.choices(range(50), k=draw.randint(1, 12)))
        for _ in range(count)
    ]


def pairs_of(model, count):
    chosen, rejected = turns_of(count, seed=1), turns_of(count, seed=2)
    return [Pair(c, Turn(c.prompt_ids, r.answer_ids), 0.3 * i) for i, (c, r) in enumerate(zip(chosen, rejected))]


def experiences_of(model, count):
    turns = turns_of(count)
    logps = turn_log_probs(model, turns, max_tokens=1000)
    return [
        Experience(
            turn,
            advantage=(-1) ** i * (0.5 + 0.1 * i),
            sampled_logps=[value + 0.3 * (-1) ** place for place, value in enumerate(row)],
            reference_logps=[value - 0.1 for value in row],
        )
        for i, (turn, row) in enumerate(zip(turns, logps))
    ]


def loss_and_gradient(model, objective, items, *, max_tokens):
    model.zero_grad()
    terms = []
    for part in objective.cut(items, max_tokens=max_tokens):
        term = objective.loss(model, part)
        term.loss.backward()
        terms.append(term)
    return add_up(terms), torch.cat([weight.grad.flatten() for weight in model.parameters()])


OBJECTIVES = [
    (pairs_of, DpoObjective(beta=0.3, sft_weight=0.2)),
    (pairs_of, DpoObjective(beta=0.3, loss_type="ipo")),
    (experiences_of, GrpoObjective(kl_beta=0.1)),
    (experiences_of, GrpoObjective(kl_beta=0.1, aggregation="seq-mean", temperature=0.7)),
    (experiences_of, GrpoObjective(aggregation="const", max_answer_tokens=12)),
]


@pytest.mark.parametrize(("make", "objective"), OBJECTIVES)
def test_loss_gradient_and_metrics_do_not_depend_on_micro_batches(model, make, objective):
    items = make(model, 8)
    whole, whole_gradient = loss_and_gradient(model, objective, items, max_tokens=10_000)
    for max_tokens in (1, 60, 150):
        assert len(objective.cut(items, max_tokens=max_tokens)) > 1
        cut, gradient = loss_and_gradient(model, objective, items, max_tokens=max_tokens)
        assert cut == pytest.approx(whole, rel=1e-5, abs=1e-6)
        assert_close(gradient, whole_gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("make", "objective"), OBJECTIVES)
def test_loss_and_gradient_do_not_depend_on_the_order_of_a_batch(model, make, objective):
    items = make(model, 6)
    straight, gradient = loss_and_gradient(model, objective, items, max_tokens=100)
    turned, turned_gradient = loss_and_gradient(model, objective, items[::-1], max_tokens=100)
    assert turned == pytest.approx(straight, rel=1e-5, abs=1e-6)
    assert_close(turned_gradient, gradient, rtol=1e-4, atol=1e-6)


def test_dpo_starts_at_ln_2_with_no_margin(model):
    turns = turns_of(6)
    logps = [sum(row) for row in turn_log_probs(model, turns, max_tokens=1000)]
    pairs = [Pair(turns[i], turns[i + 1], logps[i] - logps[i + 1]) for i in (0, 2, 4)]
    found, _ = loss_and_gradient(model, DpoObjective(beta=0.1), pairs, max_tokens=1000)
    assert found["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert found["margin"] == pytest.approx(0.0, abs=1e-6)


def test_grpo_starts_on_policy_with_ratio_1_and_no_divergence(model):
    turns = turns_of(6)
    logps = turn_log_probs(model, turns, max_tokens=1000)
    items = [Experience(turn, 1.0, row, row) for turn, row in zip(turns, logps)]
    found, _ = loss_and_gradient(model, GrpoObjective(kl_beta=1.0), items, max_tokens=1000)
    assert found["ratio_max"] == pytest.approx(1.0, abs=1e-5)
    assert found["kl"] == pytest.approx(0.0, abs=1e-6)
    assert found["logp_gap_max"] < 1e-5
    assert found["clip_fraction"] == 0.0


def test_the_dpo_loss_is_the_formula_on_whole_sequences(model):
    pairs = pairs_of(model, 3)
    expected = []
    for pair in pairs:
        sums = []
        for turn in (pair.chosen, pair.rejected):
            ids = torch.tensor([[*turn.prompt_ids, *turn.answer_ids]])
            logp_TV = model.logits(model(ids))[0].log_softmax(-1)
            places = range(len(turn.prompt_ids), ids.shape[1])
            sums.append(sum(logp_TV[place - 1, ids[0, place]].item() for place in places))
        margin = sums[0] - sums[1] - pair.reference_margin
        expected.append(math.log1p(math.exp(-0.3 * margin)))
    found, _ = loss_and_gradient(model, DpoObjective(beta=0.3), pairs, max_tokens=1000)
    assert found["loss"] == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_padding_on_either_side_leaves_log_probs_alone(model):
    turns = turns_of(5)
    logp_N = answer_log_probs(model, collate(turns))
    found = []
    for turn in turns:
        ids = [*turn.prompt_ids, *turn.answer_ids]
        pad = 7
        hidden_1TE = model(
            torch.tensor([[0] * pad + ids]),
            positions_BT=torch.tensor([[0] * pad + list(range(len(ids)))]),
            segments_BT=torch.tensor([[0] * pad + [1] * len(ids)]),
        )
        logp_TV = model.logits(hidden_1TE)[0].log_softmax(-1)
        places = range(pad + len(turn.prompt_ids), pad + len(ids))
        found += [logp_TV[place - 1, ids[place - pad]] for place in places]
    assert_close(logp_N, torch.stack(found), rtol=1e-5, atol=1e-5)


def test_prompt_tokens_alone_get_no_score(model):
    turns = [Turn([1, 2, 3], [4]), Turn([5], [6, 7, 8])]
    batch = collate(turns)
    assert sum_by_turn(torch.ones(4), batch).tolist() == [1, 3]
    assert batch.target_N.tolist() == [4, 6, 7, 8]


@pytest.mark.parametrize("max_tokens", [1, 20, 1000])
def test_buckets_hold_every_item_once_within_their_limit(max_tokens):
    lengths = [5, 3, 9, 1, 7, 7, 2]
    buckets = bucket_by_length(lengths, max_tokens=max_tokens)
    assert sorted(i for bucket in buckets for i in bucket) == list(range(7))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= max_tokens for b in buckets)
