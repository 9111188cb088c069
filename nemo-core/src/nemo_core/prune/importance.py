"""How much each part of a model matters, from its activations on some text (Minitron, Muralidharan et al. 2024).

B rows, T places, E hidden width, F inner features of a feed-forward, K key/value heads, L layers.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.batch import Batch
from ..foundation.errors import ConfigError
from ..model.decoder import Decoder


@dataclass(frozen=True)
class Importance:
    """Scores, the larger the more a part matters; heads and inner features have their own in each layer."""

    hidden_E: Tensor
    layer_L: Tensor
    ffn_LF: Tensor
    heads_LK: Tensor


def check_prunable(model: Decoder) -> None:
    """Raise ConfigError naming what cannot be cut."""
    config = model.config
    unknown = {"moe": config.moe is not None, "mla": config.mla is not None, "rope=null": config.rope is None}
    unknown["unturned_layers"] = bool(config.unturned_layers)
    unknown["qk_norm=projection"] = config.qk_norm == "projection"
    found = [name for name, present in unknown.items() if present]
    if found:
        raise ConfigError(f"models with {', '.join(found)} cannot be pruned yet")


@torch.no_grad()
def measure_importance(model: Decoder, batches: Iterable[Batch]) -> Importance:
    """Scores over all tokens of the batches: mean size of activations, and of layers how far they turn the stream.

    A feature counts by the mean size of the norms' outputs in it, an inner feature by that of its activation, a head
    by the mean length of what it mixes, a layer by 1 - cos(input, output) (block influence, Men et al. 2024).
    Raises ConfigError for a model that cannot be pruned.
    """
    check_prunable(model)
    sums: dict[str, Tensor] = {}
    tokens = 0
    hooks = watch(model, lambda name, value: sums.__setitem__(name, sums.get(name, 0) + value))
    try:
        model.eval()
        for batch in batches:
            model(batch.ids_BT)
            tokens += batch.ids_BT.numel()
    finally:
        for hook in hooks:
            hook.remove()
    layers = range(model.config.num_layers)
    return Importance(
        hidden_E=sums["hidden"] / tokens,
        layer_L=torch.stack([sums[f"layer.{n}"] for n in layers]) / tokens,
        ffn_LF=torch.stack([sums[f"ffn.{n}"] for n in layers]) / tokens,
        heads_LK=torch.stack([sums[f"heads.{n}"] for n in layers]) / tokens,
    )


def watch(model: Decoder, note: Callable[[str, Tensor], None]) -> list[Any]:
    """Hooks that note what each forward pass adds to every score."""
    hooks = []
    groups = model.config.num_kv_heads
    for number, layer in enumerate(model.model.layers):
        hooks += [
            layer.register_forward_hook(lambda _, given, out, n=number: note(f"layer.{n}", turned(given[0], out))),
            linear(layer, "mlp.down_proj").register_forward_pre_hook(
                lambda _, given, n=number: note(f"ffn.{n}", summed(given[0].abs()))
            ),
            linear(layer, "self_attn.o_proj").register_forward_pre_hook(
                lambda _, given, n=number: note(f"heads.{n}", summed(given[0].unflatten(-1, (groups, -1)).norm(dim=-1)))
            ),
        ]
    for name, module in model.named_modules():
        if is_stream_norm(name):
            hooks.append(module.register_forward_hook(lambda _, given, out: note("hidden", summed(out.abs()))))
    return hooks


def linear(layer: nn.Module, name: str) -> nn.Module:
    """A linear layer within a layer."""
    return layer.get_submodule(name)


def is_stream_norm(name: str) -> bool:
    """Whether a module normalises the residual stream."""
    return name.endswith("layernorm") or name == "model.norm"


def summed(x: Tensor) -> Tensor:
    """Over all rows and places, in double precision."""
    return x.double().flatten(0, -2).sum(0)


def turned(before_BTE: Tensor, after_BTE: Tensor) -> Tensor:
    """1 - cos of the angle between a layer's input and output, summed over tokens."""
    return (1 - F.cosine_similarity(before_BTE, after_BTE, dim=-1)).double().sum()
