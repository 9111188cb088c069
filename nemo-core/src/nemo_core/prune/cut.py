"""A smaller model out of the parts of a larger one that matter most.

E hidden width, F inner features, K key/value heads, L layers.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import ModelConfig
from ..foundation.errors import ConfigError
from ..model.decoder import Decoder
from .importance import Importance


@dataclass(frozen=True)
class Kept:
    """Numbers of what is kept, rising: layers, features of the stream, and for each kept layer features and heads."""

    layers: list[int]
    hidden: Tensor
    ffn: dict[int, Tensor]
    heads: dict[int, Tensor]


def check_smaller(config: ModelConfig, sizes: Mapping[str, int]) -> None:
    """Raise ConfigError for a size that is larger than the model's."""
    for name, size in sizes.items():
        if size > getattr(config, name):
            raise ConfigError(f"{name}={size} is more than the model's {getattr(config, name)}; pruning takes away")


def choose(importance: Importance, config: ModelConfig) -> Kept:
    """The most important parts, as many as `config` has."""
    layers = best(importance.layer_L, config.num_layers).tolist()
    return Kept(
        layers,
        best(importance.hidden_E, config.hidden_size),
        {n: best(importance.ffn_LF[n], config.ffn_size) for n in layers},
        {n: best(importance.heads_LK[n], config.num_kv_heads) for n in layers},
    )


def best(scores: Tensor, count: int) -> Tensor:
    """Numbers of the `count` highest scores, rising."""
    return scores.topk(count).indices.sort().values


def smaller_config(config: ModelConfig, sizes: Mapping[str, int], layer_L: Tensor) -> ModelConfig:
    """The config with other sizes; query heads follow the key heads that they share, kinds of layers the layers."""
    changed: dict[str, object] = dict(sizes)
    if config.layer_kinds and "num_layers" in sizes:
        changed["layer_kinds"] = tuple(config.layer_kinds[n] for n in best(layer_L, sizes["num_layers"]).tolist())
    if "num_kv_heads" in changed:
        changed["num_heads"] = sizes["num_kv_heads"] * (config.num_heads // config.num_kv_heads)
    return dataclasses.replace(config, **changed)  # type: ignore[arg-type]


@torch.no_grad()
def prune(model: Decoder, importance: Importance, sizes: Mapping[str, int]) -> Decoder:
    """A model of those `sizes` (`num_layers`, `hidden_size`, `ffn_size`, `num_kv_heads`) with the weights kept.

    Raises ConfigError where a size is larger than the model's.
    """
    check_smaller(model.config, sizes)
    config = smaller_config(model.config, sizes, importance.layer_L)
    kept = choose(importance, config)
    small = Decoder(config)
    for name, target in small.state_dict().items():
        target.copy_(cut(name, model, kept))
    return small.eval()


def cut(name: str, model: Decoder, kept: Kept) -> Tensor:
    """The kept part of the weight that is called `name` in the smaller model."""
    parts = name.split(".")
    layer = kept.layers[int(parts[2])] if name.startswith("model.layers.") else None
    if layer is not None:
        parts[2] = str(layer)
    weight: Tensor = model.state_dict()[".".join(parts)]
    for axis, chosen in enumerate(axes(parts, layer, weight.ndim, model.config, kept)):
        if chosen is not None:
            weight = weight.index_select(axis, chosen)
    return weight


def axes(parts: list[str], layer: int | None, ndim: int, config: ModelConfig, kept: Kept) -> tuple[Tensor | None, ...]:
    """What is kept along each axis of a weight; None: all."""
    module = parts[-2]
    if module in ("embed_tokens", "lm_head"):
        return None, kept.hidden
    if module in ("q_norm", "k_norm"):
        return (None,)
    if layer is None or module.endswith("norm"):
        return (kept.hidden,)
    heads, ffn = kept.heads[layer], kept.ffn[layer]
    queries = features(heads, config.num_heads // config.num_kv_heads * config.head_dim)
    rows, columns = {
        "q_proj": (queries, kept.hidden),
        "k_proj": (features(heads, config.head_dim), kept.hidden),
        "v_proj": (features(heads, config.head_dim), kept.hidden),
        "o_proj": (kept.hidden, queries),
        "gate_proj": (ffn, kept.hidden),
        "up_proj": (ffn, kept.hidden),
        "down_proj": (kept.hidden, ffn),
    }[module]
    return (rows,) if ndim == 1 else (rows, columns)


def features(heads: Tensor, width: int) -> Tensor:
    """Numbers of the features of some heads, each `width` wide."""
    return (heads[:, None] * width + torch.arange(width, device=heads.device)).flatten()
