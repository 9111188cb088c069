"""Group advantages against values worked out by hand and by numpy."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from nemo_aligner.advantages import group_advantages, reward_tensor


def test_one_success_in_eight_gives_the_known_advantages():
    found = group_advantages(reward_tensor([1.0] + [0.0] * 7), torch.zeros(8, dtype=torch.long))
    assert_close(found.advantage_S[:2], torch.tensor([2.4742, -0.3535]), atol=1e-3, rtol=0)


def test_groups_are_told_by_id_whatever_the_order():
    rewards = [0.1, 0.9, 0.3, 0.5, 0.7, 0.2]
    groups = [7, 3, 7, 3, 7, 3]
    found = group_advantages(reward_tensor(rewards), torch.tensor(groups))
    for group in (3, 7):
        members = [i for i, g in enumerate(groups) if g == group]
        values = np.array([rewards[i] for i in members])
        expected = (values - values.mean()) / (values.std(ddof=1) + 1e-4)
        np.testing.assert_allclose(found.advantage_S[members].numpy(), expected, rtol=1e-6)


def test_ddof_and_scale_choose_the_deviation():
    reward_S, group_S = reward_tensor([0.0, 2.0]), torch.tensor([0, 0])
    biased = group_advantages(reward_S, group_S, ddof=0, epsilon=0.0).advantage_S
    unbiased = group_advantages(reward_S, group_S, ddof=1, epsilon=0.0).advantage_S
    centred = group_advantages(reward_S, group_S, scale=False).advantage_S
    assert_close(biased, torch.tensor([-1.0, 1.0]))
    assert_close(unbiased, torch.tensor([-1.0, 1.0]) / math.sqrt(2))
    assert_close(centred, torch.tensor([-1.0, 1.0]))


def test_failed_samples_are_left_out_not_scored_zero():
    with_failure = group_advantages(reward_tensor([0.2, None, 0.6, float("nan")]), torch.zeros(4, dtype=torch.long))
    without = group_advantages(reward_tensor([0.2, 0.6]), torch.zeros(2, dtype=torch.long))
    assert_close(with_failure.advantage_S[[0, 2]], without.advantage_S)
    assert with_failure.is_scored_S.tolist() == [True, False, True, False]
    assert with_failure.num_failed == 2


def test_a_sample_alone_in_its_group_has_no_advantage_and_is_counted():
    found = group_advantages(reward_tensor([5.0, 0.0, 1.0, None]), torch.tensor([0, 1, 1, 0]))
    assert found.advantage_S[0].item() == 0.0
    assert (found.num_groups, found.num_singletons, found.num_zero_variance) == (2, 1, 0)


def test_equal_rewards_teach_nothing_and_are_counted():
    found = group_advantages(reward_tensor([0.1, 0.1, 0.1, 0.3, 0.4]), torch.tensor([0, 0, 0, 1, 1]))
    assert_close(found.advantage_S[:3], torch.zeros(3))
    assert found.num_zero_variance == 1


@pytest.mark.parametrize("seed", range(5))
def test_advantages_sum_to_zero_in_every_group_and_follow_a_permutation(seed):
    random = torch.Generator().manual_seed(seed)
    reward_S = torch.rand(24, generator=random, dtype=torch.float64)
    group_S = torch.arange(24) % 5
    order = torch.randperm(24, generator=random)
    straight = group_advantages(reward_S, group_S).advantage_S
    assert_close(group_advantages(reward_S[order], group_S[order]).advantage_S, straight[order])
    assert_close(torch.zeros(5).index_add(0, group_S, straight), torch.zeros(5), atol=1e-5, rtol=0)
