"""The native implementation, traced."""

from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint.folder import load_model
from .trace import Trace


@torch.no_grad()
def trace(folder: Path, ids_BT: Tensor) -> Trace:
    """Hidden states and logits of the native model."""
    model = load_model(folder)
    layers = list(model.model.layers)
    hidden: list[Tensor] = []
    hooks = [layers[0].register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))]
    hooks += [layer.register_forward_hook(lambda _, __, output: hidden.append(output)) for layer in layers[:-1]]
    final_BTE = model(ids_BT)
    for hook in hooks:
        hook.remove()
    return Trace([*hidden, final_BTE], model.logits(final_BTE))
