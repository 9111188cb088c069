"""Activations dropped in the forward pass and computed again in the backward pass (Chen et al. 2016)."""

import functools
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from ..model.decoder import Decoder

KEPT = {
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten.bmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    *([torch.ops.mkldnn._linear_pointwise.default] if hasattr(torch.ops.mkldnn, "_linear_pointwise") else []),
}


def keep_products(_: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    """Keep the results of matrix products and attention; the cheap rest is computed again."""
    return CheckpointPolicy.MUST_SAVE if operation in KEPT else CheckpointPolicy.PREFER_RECOMPUTE


def recompute_layers(model: Decoder, kind: Literal["none", "selective", "full"]) -> None:
    """Let each layer of `model` forget its activations, in place. Parameter names stay as they are."""
    if kind == "none":
        return
    context = functools.partial(create_selective_checkpoint_contexts, keep_products)
    extra: dict[str, Any] = {"context_fn": context} if kind == "selective" else {}
    for layer in layers_of(model):
        layer.forward = forgetting(layer.forward, **extra)


def forgetting(forward: Callable[..., Any], **extra: Any) -> Callable[..., Any]:
    """`forward`, computed again in the backward pass."""

    def again(*inputs: Any) -> Any:  # a function of ours: the compiler would leave torch's own alone, without a word
        return checkpoint(forward, *inputs, use_reentrant=False, **extra)

    return again


def layers_of(model: Decoder) -> list[torch.nn.Module]:
    """The layers that this process holds."""
    layers: Any = model.model.layers
    return list(layers)
