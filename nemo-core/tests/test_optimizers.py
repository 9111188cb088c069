"""Optimizers and schedules step as independent implementations of theirs do."""

import copy

import pytest
import torch
from torch import nn

from nemo_core.train.optimizer import build_adafactor, build_muon, build_optimizer
from nemo_core.train.schedule import learning_rate_at


def pair_of_models():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 8, bias=False))
    return model, copy.deepcopy(model)


def follow(model, optimizer, *, steps=6):
    """Weights after some steps on given data."""
    draw = torch.Generator().manual_seed(1)
    for _ in range(steps):
        loss = (model(torch.randn(5, 12, generator=draw)) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return list(model.parameters())


def assert_same(ours, theirs, **tolerance):
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, **tolerance)


def test_adamw_is_torchs_own_written_out():
    model, twin = pair_of_models()
    optimizer = build_optimizer(model, learning_rate=0.01, weight_decay=0.1, betas=(0.9, 0.95))
    weights = list(twin.parameters())
    moments = [(torch.zeros_like(w), torch.zeros_like(w)) for w in weights]
    draw = torch.Generator().manual_seed(1)
    for step in range(1, 7):
        loss = (twin(torch.randn(5, 12, generator=draw)) - 1).square().mean()
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient, (mean, square) in zip(weights, gradients, moments, strict=True):
                weight.mul_(1 - 0.01 * 0.1 * (weight.ndim >= 2))
                mean.mul_(0.9).add_(0.1 * gradient)
                square.mul_(0.95).add_(0.05 * gradient**2)
                weight.sub_(0.01 * (mean / (1 - 0.9**step)) / ((square / (1 - 0.95**step)).sqrt() + 1e-8))
    assert_same(follow(model, optimizer), weights, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
def test_adafactor_is_transformers():
    from transformers import Adafactor

    model, twin = pair_of_models()
    ours = build_adafactor(model, learning_rate=0.01, weight_decay=0.0, betas=(0.9, 0.95))
    theirs = Adafactor(
        twin.parameters(), lr=None, scale_parameter=True, relative_step=True, warmup_init=False, eps=(1e-30, 1e-3)
    )
    # relative_step gives min(1e-2, 1/sqrt(t)); both scale it by the weight's root mean square.
    ours.param_groups[0]["eps"] = ours.param_groups[1]["eps"] = (1e-15, 1e-3)
    assert_same(follow(model, ours), follow(twin, theirs), atol=2e-5, rtol=1e-3)


def test_muon_moves_each_hidden_matrix_by_an_orthogonal_step():
    model, _ = pair_of_models()
    before = [weight.detach().clone() for weight in model.parameters()]
    for weight in model.parameters():
        weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(2))
    build_muon(model, learning_rate=0.01, weight_decay=0.0, betas=(0.9, 0.95)).step()
    for old, new in zip(before, model.parameters(), strict=True):
        if old.ndim == 2:
            scale = 0.01 * 0.2 * max(old.shape) ** 0.5
            singular = torch.linalg.svdvals((old - new).detach() / scale)
            assert (singular > 0.6).all()
            assert (singular < 1.3).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cosine", "linear", "inverse_sqrt", "constant"])
def test_schedules_are_transformers(kind):
    from transformers import get_scheduler

    names = {"constant": "constant_with_warmup"}
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_scheduler(names.get(kind, kind), optimizer, num_warmup_steps=10, num_training_steps=100)
    ours = [
        learning_rate_at(s, peak=1.0, warmup_steps=10, total_steps=101, kind=kind, minimum_ratio=0.0)
        for s in range(100)
    ]
    seen = []
    for _ in range(101):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    # transformers begin with a rate of 0, we with the first rise; from the peak on, the two are a step apart.
    assert ours[:10] == pytest.approx(seen[1:11])
    assert ours[10:90] == pytest.approx(seen[10:90] if kind != "inverse_sqrt" else seen[11:91], rel=1e-6)


def test_muon_takes_models_with_weights_of_one_kind_only():
    matrices, vectors = nn.Linear(6, 6, bias=False), nn.RMSNorm(6)
    for model in (matrices, vectors):
        before = model.weight.detach().clone()
        model.weight.grad = torch.ones_like(before)
        build_muon(model, learning_rate=0.01, weight_decay=0.0, betas=(0.9, 0.95)).step()
        assert not torch.equal(model.weight, before)
