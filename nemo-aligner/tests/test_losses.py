"""Losses against closed forms worked out by hand, and the weights that make them independent of batching."""

import math

import pytest
import torch
from torch.testing import assert_close

from nemo_aligner import losses


def test_dpo_costs_ln_2_where_policy_and_reference_agree():
    margin_P = losses.preference_margin(torch.tensor([-3.0]), torch.tensor([-5.0]), torch.tensor([2.0]))
    assert_close(losses.dpo(margin_P, beta=0.1), torch.tensor([math.log(2)]))


def test_dpo_is_minus_log_sigmoid_of_the_scaled_margin():
    cost = losses.dpo(torch.tensor([3.0, -1.0]), beta=0.5)
    assert_close(cost, torch.tensor([math.log1p(math.exp(-1.5)), math.log1p(math.exp(0.5))]))


def test_label_smoothing_mixes_in_the_flipped_label():
    plain, flipped = losses.dpo(torch.tensor([2.0]), beta=1.0), losses.dpo(torch.tensor([-2.0]), beta=1.0)
    assert_close(losses.dpo(torch.tensor([2.0]), beta=1.0, label_smoothing=0.2), 0.8 * plain + 0.2 * flipped)


def test_label_smoothing_has_its_optimum_at_the_label_noise():
    margin = torch.zeros(1, requires_grad=True)
    for _ in range(400):
        (slope,) = torch.autograd.grad(losses.dpo(margin, beta=1.0, label_smoothing=0.3).sum(), margin)
        margin = (margin - slope).detach().requires_grad_()
    assert_close(margin.sigmoid().detach(), torch.tensor([0.7]), atol=1e-3, rtol=0)


def test_ipo_is_zero_at_its_target_margin():
    assert_close(losses.ipo(torch.tensor([5.0, 4.0]), beta=0.1), torch.tensor([0.0, 1.0]))


def test_the_policy_loss_on_policy_is_minus_the_advantage_and_its_gradient_too():
    logp_N = torch.tensor([-1.0, -2.0], requires_grad=True)
    terms = losses.clipped_policy(logp_N, logp_N.detach(), torch.tensor([0.5, -2.0]))
    assert_close(terms.ratio_N, torch.ones(2))
    assert_close(terms.loss_N, torch.tensor([-0.5, 2.0]))
    (slope_N,) = torch.autograd.grad(terms.loss_N.sum(), logp_N)
    assert_close(slope_N, torch.tensor([-0.5, 2.0]))


@pytest.mark.parametrize(
    ("ratio", "advantage", "gain", "is_clipped"),
    [(1.5, 1.0, 1.28, True), (0.5, -1.0, -0.8, True), (1.5, -1.0, -1.5, False), (0.5, 1.0, 0.5, False)],
)
def test_the_clip_bounds_only_what_would_gain_too_much(ratio, advantage, gain, is_clipped):
    terms = losses.clipped_policy(
        torch.tensor([math.log(ratio)]), torch.zeros(1), torch.tensor([advantage]), clip_low=0.2, clip_high=0.28
    )
    assert_close(terms.loss_N, torch.tensor([-gain]))
    assert terms.is_clipped_N.item() is is_clipped


def test_a_freak_log_ratio_stays_finite():
    terms = losses.clipped_policy(torch.tensor([500.0]), torch.tensor([-500.0]), torch.tensor([-1.0]))
    assert terms.loss_N.isfinite().all()
    assert losses.kl(torch.tensor([-500.0]), torch.tensor([500.0])).item() == losses.MAX_KL


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_kl_is_zero_where_the_models_agree(kind):
    assert_close(losses.kl(torch.tensor([-1.3]), torch.tensor([-1.3]), kind=kind), torch.zeros(1))


def test_k1_and_k3_estimate_the_exact_divergence():
    policy_V = torch.tensor([0.5, 0.3, 0.2])
    reference_V = torch.tensor([0.4, 0.4, 0.2])
    exact = (policy_V * (policy_V / reference_V).log()).sum()
    for kind in ("k1", "k3"):
        estimate_V = losses.kl(policy_V.log(), reference_V.log(), kind=kind)
        assert_close((policy_V * estimate_V).sum(), exact)
    assert (losses.kl(policy_V.log(), reference_V.log(), kind="k3") >= 0).all()


LENGTHS = torch.tensor([1, 3, 4])
VALUES = torch.tensor([8.0, 1, 2, 3, 4, 5, 6, 7])


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [("token-mean", 36 / 8), ("seq-mean", (8 + 2 + 5.5) / 3), ("const", 36 / (3 * 10))],
)
def test_each_aggregation_is_the_mean_it_is_named_for(aggregation, expected):
    weight_S = losses.sequence_weights(LENGTHS, aggregation=aggregation, max_tokens=10)
    total = losses.weighted_sum(VALUES, weight_S.repeat_interleave(LENGTHS))
    assert total.item() == pytest.approx(expected)


def test_const_aggregation_needs_a_length_to_divide_by():
    with pytest.raises(ValueError, match="needs max_tokens"):
        losses.sequence_weights(LENGTHS, aggregation="const")
