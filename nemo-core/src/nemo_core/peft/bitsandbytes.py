"""NormalFloat4 of bitsandbytes: blocks of 64 numbers share a scale, and the scales are rounded to 8 bits too."""

from typing import Any

from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from torch import Tensor


def pack(weight_OI: Tensor) -> tuple[Tensor, Any]:
    """Packed numbers and their scales."""
    packed, scales = quantize_4bit(weight_OI.contiguous(), blocksize=64, compress_statistics=True, quant_type="nf4")
    return packed, scales


def unpack(packed: Tensor, scales: Any) -> Tensor:
    """The rounded numbers, in the precision they had."""
    weight_OI: Tensor = dequantize_4bit(packed, scales)
    return weight_OI
