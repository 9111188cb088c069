"""The megatron implementation on this machine's CPU, traced."""

from pathlib import Path

import torch
from torch import Tensor

from ..megatron.folder import load_megatron
from ..megatron.parallel import process_groups
from .trace import Trace


@torch.no_grad()
def trace(folder: Path, ids_BT: Tensor) -> Trace:
    """Hidden states and logits of megatron.core's model."""
    with process_groups():
        model = load_megatron(folder).eval()
        layers = list(model.gpt.decoder.layers)
        hidden: list[Tensor] = []

        def keep(_: object, __: object, output: tuple[Tensor, object]) -> None:
            hidden.append(output[0].transpose(0, 1))

        hooks = [
            layers[0].register_forward_pre_hook(
                lambda _, __, named: hidden.append(named["hidden_states"].transpose(0, 1)), with_kwargs=True
            )
        ]
        hooks += [layer.register_forward_hook(keep) for layer in layers[:-1]]
        final_BTE = model(ids_BT)
        for hook in hooks:
            hook.remove()
        return Trace([*hidden, final_BTE], model.logits(final_BTE))
