"""Matrix products through oneDNN where that is faster, with their gradients.

torch sends fp32 products on CPUs to MKL, which uses half of what a CPU that is not Intel's can do; oneDNN is 2-3 times
faster there. On Intel's own, MKL is as fast forwards and 1.4 times as fast for gradients of weights. What decides is
the maker of the processor and not a measurement, so a run that is resumed rounds as it did before.

... any leading dimensions, N rows, I input width, O output width.
"""

import functools
import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEWEST_ROWS = 16  # below this, laying out the weight costs more than it gains


@functools.cache
def mkl_is_at_home() -> bool:
    """Whether torch has MKL and this processor is one that MKL was made for."""
    listing = Path("/proc/cpuinfo")
    maker = listing.read_text(errors="replace") if listing.exists() else platform.processor()
    return torch.backends.mkl.is_available() and "GenuineIntel" in maker


def is_plain(*tensors: Tensor) -> bool:
    """Whether loops in C with gradients by hand serve: fp32 on a CPU, no subclass, compiler, autocast."""
    return (
        all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in tensors)
        and all(type(tensor) in (Tensor, nn.Parameter) for tensor in tensors)
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
        and not torch.is_autocast_enabled("cpu")
    )


def onednn_takes(weight: Tensor) -> bool:
    """Whether oneDNN multiplies by such a weight: plain fp32 on a CPU, in a torch that has the operation."""
    return (
        weight.dtype == torch.float32
        and weight.device.type == "cpu"
        and type(weight) in (Tensor, nn.Parameter)
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def prefers_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether a product with this weight is faster through oneDNN, and nothing (autocast, a compiler) steers it."""
    return (
        not torch.compiler.is_compiling()  # first: a compiler that follows the rest stops where a file is looked at
        and x.dtype == torch.float32
        and x.numel() >= FEWEST_ROWS * x.shape[-1]
        and not mkl_is_at_home()
        and onednn_takes(weight)
        and not torch.is_autocast_enabled("cpu")
    )


def product(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """X @ weight.T + bias, [N, O], without a gradient of its own."""
    if not prefers_onednn(x_NI, weight_OI):
        return nn.functional.linear(x_NI, weight_OI, bias_O)
    y_NO: Tensor = torch.ops.mkldnn._linear_pointwise(x_NI, weight_OI, bias_O, "none", [], "")
    return y_NO


def add_product_(total_OI: Tensor, left_ON: Tensor, right_NI: Tensor) -> None:
    """Add left @ right to `total_OI`, without a matrix between them where the faster way allows it."""
    if prefers_onednn(left_ON, right_NI):
        total_OI += product(left_ON, right_NI.T)
    else:
        total_OI.addmm_(left_ON, right_NI)


class Linear(nn.Linear):
    """A linear layer whose products take the faster way. [..., I] -> [..., O]."""

    def forward(self, x: Tensor) -> Tensor:
        """X @ weight.T + bias."""
        if not prefers_onednn(x, self.weight):
            return super().forward(x)
        y: Tensor = LinearProduct.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return y


class LinearProduct(torch.autograd.Function):
    """x @ weight.T + bias and its gradients, three products of the same kind."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
        """[..., I] -> [..., O]."""
        ctx.save_for_backward(x, weight_OI)
        y: Tensor = product(x.flatten(0, -2), weight_OI, bias_O).unflatten(0, x.shape[:-1])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradients of input, weight and bias."""
        x, weight_OI = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        grad_NO = grad.flatten(0, -2)
        return (
            product(grad_NO, weight_OI.T).unflatten(0, x.shape[:-1]) if needs_x else None,
            product(grad_NO.T, x.flatten(0, -2).T) if needs_weight else None,
            grad_NO.sum(0) if needs_bias else None,
        )
