"""Which weights of a model training changes."""

from collections.abc import Iterator

from torch import nn


def trained_weights(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and weights that training changes."""
    return ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
