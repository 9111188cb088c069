"""The bitsandbytes side of `quantize`; import it through there."""

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit, Params4bit
from torch import Tensor, nn


def quantize(layer: nn.Module) -> nn.Module:
    """The layer with its weight in NormalFloat4, its scales quantized too; a layer that is so already is returned."""
    if isinstance(layer, Linear4bit) or not isinstance(layer, nn.Linear):
        return layer
    weight_OI = layer.weight.detach()
    frozen = Linear4bit(
        layer.in_features,
        layer.out_features,
        bias=layer.bias is not None,
        compute_dtype=weight_OI.dtype if weight_OI.is_cpu else torch.bfloat16,
        quant_type="nf4",
    )
    frozen.weight = Params4bit(weight_OI.clone(), requires_grad=False, quant_type="nf4", module=frozen)
    if layer.bias is not None:
        frozen.bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=False)
    return frozen.to(weight_OI.device).requires_grad_(False)


def dequantize(layer: nn.Module) -> Tensor:
    """The weight as numbers, [O, I], in the precision it had."""
    expanded: Tensor = dequantize_4bit(layer.weight, layer.weight.quant_state)  # type: ignore[arg-type]
    return expanded
