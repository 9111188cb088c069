"""Products through oneDNN equal torch's own, forwards and backwards."""

import pytest
import torch
from torch import nn

from nemo_core.model.linear import Linear, onednn_takes, prefers_onednn


def gradients(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    torch.set_num_threads(1)
    x = x.clone().requires_grad_()
    y = layer(x)
    pull = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
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
