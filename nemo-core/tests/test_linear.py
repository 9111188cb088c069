"""Products through oneDNN, the RMS norm, gated feed-forward layers and rotations equal torch's own, both ways."""

import pytest
import torch
from torch import nn

from nemo_core.config import ModelConfig
from nemo_core.model import linear
from nemo_core.model.linear import Linear, onednn_takes, prefers_onednn
from nemo_core.model.mlp import ACTIVATIONS, GatedMLP
from nemo_core.model.norm import RMSNorm
from nemo_core.model.rope import rotate


@pytest.fixture(autouse=True)
def not_intel(monkeypatch):
    """Wherever the tests run, products go the way they take where MKL is slow."""
    monkeypatch.setattr(linear, "mkl_is_at_home", lambda: False)


def gradients(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    torch.set_num_threads(1)
    x = x.clone().requires_grad_()
    y = layer(x)
    pull = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    return [y, *torch.autograd.grad((y * pull).sum(), [x, *layer.parameters()])]


@pytest.mark.parametrize("shape", [(3, 17, 24), (40, 24), (1, 24), (0, 24), (2, 8, 5, 24)])
@pytest.mark.parametrize("bias", [False, True])
def test_values_and_gradients_equal_the_plain_layer(shape, bias):
    ours, plain = Linear(24, 56, bias=bias), nn.Linear(24, 56, bias=bias)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for mine, reference in zip(gradients(ours, x), gradients(plain, x)):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-4)


def test_frozen_weights_get_no_gradient():
    layer = Linear(24, 8).requires_grad_(False)
    x = torch.randn(40, 24, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    torch.testing.assert_close(x.grad, layer.weight.sum(0).expand(40, -1))


def test_other_types_and_few_rows_stay_with_torch():
    x, weight = torch.randn(40, 24), torch.randn(8, 24)
    assert not onednn_takes(weight.double())
    assert not onednn_takes(weight.bfloat16())
    assert not prefers_onednn(x[:2], weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert not prefers_onednn(x, weight)
        assert Linear(24, 8)(x).dtype == torch.bfloat16


def test_mkl_keeps_the_products_on_processors_it_was_made_for(monkeypatch):
    x, weight = torch.randn(40, 24), torch.randn(8, 24)
    assert prefers_onednn(x, weight)
    monkeypatch.setattr(linear, "mkl_is_at_home", lambda: True)
    assert not prefers_onednn(x, weight)


@pytest.mark.parametrize("shape", [(24,), (3, 17, 24), (2, 5, 4, 24), (0, 24)])
def test_the_rms_norm_has_the_values_and_gradients_of_torch_s(shape):
    ours, exact = RMSNorm(24, eps=1e-5), nn.RMSNorm(24, eps=1e-5).double()
    with torch.no_grad():
        ours.weight.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(2))
        exact.weight.copy_(ours.weight)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for mine, reference in zip(gradients(ours, x), gradients(exact, x.double()), strict=True):
        torch.testing.assert_close(mine.double(), reference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("turned", [8, 4])
def test_rotations_have_the_gradient_of_their_formula(turned):
    draw = torch.Generator().manual_seed(0)
    angle_TF = torch.rand(7, turned // 2, generator=draw, dtype=torch.float64) * 6
    cos, sin = (torch.cat([part, part], -1) for part in (angle_TF.cos(), angle_TF.sin()))
    x = torch.randn(2, 7, 3, 8, generator=draw, dtype=torch.float64).transpose(1, 2).requires_grad_()
    first, second = x[..., : turned // 2], x[..., turned // 2 : turned]
    pairs = torch.complex(first, second) * torch.polar(torch.ones_like(angle_TF), angle_TF)
    expected = torch.cat([pairs.real, pairs.imag, x[..., turned:]], -1)
    torch.testing.assert_close(rotate(x, cos, sin), expected)
    assert torch.autograd.gradcheck(lambda x: rotate(x, cos, sin), [x])


def gated(activation: str, *, bias: bool) -> GatedMLP:
    config = ModelConfig(
        vocab_size=8, hidden_size=24, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=24, ffn_size=40,
        activation=activation, mlp_bias=bias,
    )  # fmt: skip
    torch.manual_seed(3)
    return GatedMLP(config)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_a_gated_layer_has_the_values_and_gradients_of_its_formula(activation, bias):
    layer = gated(activation, bias=bias)
    exact = gated(activation, bias=bias).double()
    x = torch.randn(3, 17, 24, generator=torch.Generator().manual_seed(0))
    for mine, reference in zip(gradients(layer, x), gradients(exact, x.double()), strict=True):
        torch.testing.assert_close(mine.double(), reference, rtol=1e-5, atol=1e-5)


def test_a_gated_layer_keeps_two_wide_matrices_for_the_way_back():
    layer = gated("silu", bias=False)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(torch.randn(64, 24))
    assert sum(tensor.shape == (64, 40) for tensor in kept) == 2


def test_a_frozen_gated_layer_passes_the_gradient_on():
    layer, exact = gated("gelu_tanh", bias=True).requires_grad_(False), gated("gelu_tanh", bias=True).double()
    x = torch.randn(40, 24, requires_grad=True)
    layer(x).square().sum().backward()
    y = x.detach().double().requires_grad_()
    exact(y).square().sum().backward()
    torch.testing.assert_close(x.grad.double(), y.grad, rtol=1e-5, atol=1e-5)
    assert all(weight.grad is None for weight in layer.parameters())
