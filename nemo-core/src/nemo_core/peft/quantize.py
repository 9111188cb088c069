"""Frozen weights in four bits (QLoRA, Dettmers et al. 2023), where bitsandbytes is installed.

I input width, O output width.
"""

from typing import Any

from torch import Tensor, nn

from ..foundation.backend import Backend, load_backend

BACKENDS = {"nf4": Backend(module="nemo_core.peft.bitsandbytes", extra="qlora")}


def quantized(layer: nn.Module) -> nn.Module:
    """The layer with its weight in NormalFloat4; MissingBackend names the extra where bitsandbytes is absent."""
    backend: Any = load_backend("quantization", "nf4", BACKENDS, package="nemo-core")
    frozen: nn.Module = backend.quantize(layer)
    return frozen


def is_quantized(layer: nn.Module) -> bool:
    """Whether the layer's weight is in four bits."""
    return hasattr(getattr(layer, "weight", None), "quant_state")


def full_weight(layer: nn.Module) -> Tensor:
    """The weight as numbers, [O, I]."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    if not is_quantized(layer):
        return weight
    backend: Any = load_backend("quantization", "nf4", BACKENDS, package="nemo-core")
    expanded: Tensor = backend.dequantize(layer)
    return expanded
