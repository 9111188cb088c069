"""Linear layers made ready for inference.

N tokens, I input width, O output width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.linear import onednn_takes
from ..peft.places import AdaptedLinear


class Projection:
    """x @ weight.T + bias with a weight that is laid out for the kernel once.

    oneDNN's prepacked layout is 2-4 times faster than a plain product on CPUs (measured at 1 to 300 tokens), and each
    row's result is the same, bit for bit, whatever rows are beside it; with one row it takes another route, so a lone
    row gets company.
    """

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
        self.bias_O = bias_O
        self.is_packed = onednn_takes(weight_OI) and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight_OI) if self.is_packed else weight_OI

    def __call__(self, x_NI: Tensor) -> Tensor:
        """[N, I] -> [N, O]."""
        if not self.is_packed:
            return F.linear(x_NI, self.weight, self.bias_O)
        if x_NI.shape[0] == 1:
            return self(x_NI.expand(2, -1))[:1]
        y_NO: Tensor = torch.ops.mkldnn._linear_pointwise(x_NI, self.weight, self.bias_O, "none", [], "")
        return y_NO


def fuse(layers: Sequence[nn.Module]) -> Projection:
    """Layers that read the same input as one, outputs side by side; adapters are merged into their weights."""
    parts = [effective(layer) for layer in layers]
    weight_OI = torch.cat([weight for weight, _ in parts]) if len(parts) > 1 else parts[0][0]
    biases = [bias for _, bias in parts if bias is not None]
    return Projection(weight_OI, torch.cat(biases) if biases else None)


def effective(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a linear layer, its adapter (where it has one that is on) included."""
    if isinstance(layer, AdaptedLinear):
        weight, bias = effective(layer.base)
        merged: tuple[Tensor, Tensor | None] = (weight, bias) if layer.part is None else layer.part.merged(weight, bias)
        return merged
    if isinstance(layer, nn.Linear):
        return layer.weight.detach(), layer.bias
    raise TypeError(f"no inference form of {type(layer).__name__}; merge it into a linear layer first")
