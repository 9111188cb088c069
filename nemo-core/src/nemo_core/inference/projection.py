"""Linear layers made ready for inference.

N tokens, I input width, O output width, R rank of an adapter.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..peft.places import AdaptedLinear
from ..peft.quantize import QuantizedLinear
from . import kernels

Kernel = Callable[[Tensor], Tensor]
Part = tuple[Tensor, Tensor | None]  # weight and bias of a layer
Quantization = Literal["none", "int8"]
LARGEST_INT8 = 127.0
FEW_ROWS = 32  # up to this many the product in C is at least as fast as oneDNN's, which gives the same bits
SMALLEST_SCALE = 1e-12  # of a row or channel that is all zero


class Change(Protocol):
    """What an adapter does to a layer."""

    def added(self, x_NI: Tensor, y_NO: Tensor, product: Kernel) -> Tensor:
        """What comes to the layer's outputs `y_NO`, of which `product` makes others of other inputs."""


@dataclass(frozen=True)
class LowRank:
    """What an adapter adds to a layer: up(down(x)), its scale included."""

    down: Kernel
    up: Kernel

    def added(self, x_NI: Tensor, y_NO: Tensor, product: Kernel) -> Tensor:
        """See Change."""
        return self.up(self.down(x_NI))

    @classmethod
    def of(cls, down_RI: Tensor, up_OR: Tensor) -> "LowRank":
        """Laid out for the kernels."""
        return cls(make_kernel([(down_RI, None)]), make_kernel([(up_OR, None)]))


@dataclass(frozen=True)
class Gain:
    """A factor on the outputs but for `bias_O`, and on what a low-rank part adds before (DoRA); IA3 has neither."""

    gain_O: Tensor
    bias_O: Tensor | None = None
    low_rank: LowRank | None = None

    def added(self, x_NI: Tensor, y_NO: Tensor, product: Kernel) -> Tensor:
        """See Change."""
        plain_NO = y_NO if self.bias_O is None else y_NO - self.bias_O
        more_NO = (self.gain_O - 1) * plain_NO
        return more_NO if self.low_rank is None else more_NO + self.gain_O * self.low_rank.added(x_NI, y_NO, product)


@dataclass(frozen=True)
class Rescaled:
    """A factor on the inputs (IA3 in the feed-forward): the layer's product once more for the rows that take it."""

    scale_I: Tensor

    def added(self, x_NI: Tensor, y_NO: Tensor, product: Kernel) -> Tensor:
        """See Change."""
        return product(x_NI * self.scale_I) - y_NO


Deltas = Mapping[str, Change]


@dataclass
class Routing:
    """Which tokens of this step take which adapter, by the names of the layers it changes; rows None: all of them."""

    groups: Sequence[tuple[Deltas, Tensor | None]] = field(default_factory=list)


class Projection(nn.Module):
    """One or several linear layers that read the same input, outputs side by side. [..., I] -> [..., O].

    A row's results are the same, bit for bit, whatever rows are beside it (on CPUs, in fp32 or int8).
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        *,
        routing: Routing | None = None,
        quantize: Quantization = "none",
    ) -> None:
        super().__init__()
        parts = [effective(layer) for layer in layers.values()]
        self.in_width = parts[0][0].shape[1]
        self.widths = [len(weight) for weight, _ in parts]
        self.kernel = make_kernel(parts, quantize)
        self.names, self.routing = tuple(layers), routing

    def forward(self, x: Tensor) -> Tensor:
        """The layers' outputs, adapters of this step added to the rows that take them."""
        x_NI = x if x.ndim == 2 else x.reshape(-1, self.in_width)
        count = x_NI.shape[0]
        if count == 0:  # an expert that no token chose
            return x.new_zeros(*x.shape[:-1], sum(self.widths))
        y_NO = self.kernel(x_NI)
        if self.routing is not None and self.routing.groups:
            for deltas, rows in self.routing.groups:
                self.adapt(x_NI, y_NO, deltas, rows)
        return y_NO if x.ndim == 2 else y_NO.view(*x.shape[:-1], -1)

    def adapt(self, x_NI: Tensor, y_NO: Tensor, deltas: Deltas, rows: Tensor | None) -> None:
        """Add one adapter's part to its rows of `y_NO`."""
        start = 0
        for name, width in zip(self.names, self.widths):
            if name in deltas:
                columns = slice(start, start + width)
                own_NO = y_NO[:, columns]
                product = functools.partial(self.some_columns, columns)
                if rows is None:
                    own_NO += deltas[name].added(x_NI, own_NO, product)
                else:
                    own_NO.index_add_(0, rows, deltas[name].added(x_NI[rows], own_NO[rows], product))
            start += width

    def some_columns(self, columns: slice, x_NI: Tensor) -> Tensor:
        """Outputs of one of the layers."""
        return self.kernel(x_NI)[:, columns]


def make_kernel(parts: Sequence[Part], quantize: Quantization = "none") -> Kernel:
    """The fastest product with these weights one under the other: int8 where asked for, in C on a CPU in fp32."""
    if quantize == "none" and all(kernels.take(weight) for weight, _ in parts):
        return PlainKernel(parts)
    weight_OI = torch.cat([weight for weight, _ in parts]) if len(parts) > 1 else parts[0][0]
    biases = [bias if bias is not None else weight.new_zeros(len(weight)) for weight, bias in parts]
    bias_O = torch.cat(biases) if any(bias is not None for _, bias in parts) else None
    if quantize == "int8":
        return Int8Kernel(weight_OI, bias_O)
    return lambda x_NI: F.linear(x_NI, weight_OI, bias_O)


class PlainKernel:
    """x @ weight.T + bias, with the layers' own weights as they lie in the model: nothing is kept twice.

    A row's result does not depend on its neighbours, nor on how many there are.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = [(weight.contiguous(), bias if bias is None else bias.contiguous()) for weight, bias in parts]
        self.width = sum(len(weight) for weight, _ in parts)
        for weight, _ in self.parts:
            kernels.settle(weight)

    def __call__(self, x_NI: Tensor) -> Tensor:
        """[N, I] -> [N, O]."""
        x_NI, start = x_NI.contiguous(), 0
        y_NO = x_NI.new_empty(len(x_NI), self.width)
        for weight_OI, bias_O in self.parts:
            kernels.product(x_NI, weight_OI, bias_O, y_NO.narrow(1, start, len(weight_OI)))
            start += len(weight_OI)
        return y_NO


class Int8Kernel:
    """x @ weight.T + bias with a weight of int8, one scale for each output (symmetric, round to nearest).

    On a CPU the input is rounded to int8 too, one scale for each row, and oneDNN sums in exact integers, so a row's
    result does not depend on its neighbours. Elsewhere the weight is widened for each product: it saves memory only.
    """

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
        rounded_OI, scale_O1 = round_to_int8(weight_OI.float())
        self.scale_O, self.bias_O = scale_O1[:, 0].contiguous(), bias_O
        self.rounded_OI = rounded_OI
        self.is_rounding = weight_OI.device.type == "cpu"
        self.can_pack = self.is_rounding and hasattr(torch.ops.onednn, "qlinear_pointwise")
        if self.is_rounding:
            raised_O = rounded_OI.sum(1, dtype=torch.int32) * 128
            self.steps = self.scale_O / LARGEST_INT8, raised_O
            self.bias_O = bias_O if bias_O is None else bias_O.float()
            kernels.settle(rounded_OI)

    def __call__(self, x_NI: Tensor) -> Tensor:
        """[N, I] -> [N, O]."""
        if not self.is_rounding:
            y_NO = F.linear(x_NI, self.rounded_OI.to(x_NI.dtype)) * self.scale_O.to(x_NI.dtype)
            return y_NO if self.bias_O is None else y_NO + self.bias_O
        if x_NI.dtype != torch.float32:
            return self(x_NI.float()).to(x_NI.dtype)
        if len(x_NI) <= FEW_ROWS or not self.can_pack:
            return kernels.product_int8(x_NI, self.rounded_OI, self.steps, self.bias_O)
        return self._of_many(x_NI)

    @functools.cached_property
    def packed(self) -> tuple[Tensor, Tensor]:
        """The weight as oneDNN lays it out for many rows, made when there are many for the first time, and zeros."""
        layout = torch.ops.onednn.qlinear_prepack(self.rounded_OI, None)
        return layout, torch.zeros(len(self.rounded_OI), dtype=torch.long)

    def _of_many(self, x_NI: Tensor) -> Tensor:
        rounded_NI, largest_N1 = kernels.round_to_int8(x_NI.contiguous())
        layout, zero_O = self.packed
        y_NO: Tensor = torch.ops.onednn.qlinear_pointwise.default(
            rounded_NI, 1.0, 0, layout, self.steps[0], zero_O, None, 1.0, 0, torch.float32, "none", [], ""
        )
        y_NO = y_NO.mul_(largest_N1)
        return y_NO if self.bias_O is None else y_NO + self.bias_O


def round_to_int8(values_NI: Tensor) -> tuple[Tensor, Tensor]:
    """Each row over its scale, in -127 to 127, and the scales, [N, 1]."""
    scale_N1 = values_NI.abs().amax(1, keepdim=True).div_(LARGEST_INT8).clamp_(min=SMALLEST_SCALE)
    return (values_NI / scale_N1).round_().to(torch.int8), scale_N1


def effective(layer: nn.Module) -> Part:
    """Weight and bias of a linear layer, its adapter (where it has one that is on) included."""
    if isinstance(layer, AdaptedLinear):
        weight, bias = effective(layer.base)
        merged: Part = (weight, bias) if layer.part is None else layer.part.merged(weight, bias)
        return merged
    if isinstance(layer, nn.Linear | QuantizedLinear):
        return layer.weight.detach(), layer.bias
    raise TypeError(f"no inference form of {type(layer).__name__}; merge it into a linear layer first")
