"""AdamW over the weights that are trained."""

from collections.abc import Iterator

from torch import nn
from torch.optim import AdamW


def build_optimizer(
    model: nn.Module, *, learning_rate: float, weight_decay: float, betas: tuple[float, float]
) -> AdamW:
    """Fused AdamW; weight decay acts on matrices, not on norms and biases."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in trained if w.ndim >= 2], "weight_decay": weight_decay},
        {"params": [w for w in trained if w.ndim < 2], "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]], lr=learning_rate, betas=betas, fused=True)


def set_learning_rate(optimizer: AdamW, rate: float) -> None:
    """Let the next step use `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def trained_weights(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and weights that training changes."""
    return ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
