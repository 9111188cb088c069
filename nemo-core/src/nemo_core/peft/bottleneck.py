"""Adapters after a block (Houlsby et al. 2019): y + scale * up(act(down(norm(y)))), y being what the block answers.

The peft library has no such method; the folder has the same two files, with `down`, `up` and `norm` tensors.
E hidden width, S width of the bottleneck.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .method import Start, home
from .places import AdaptedBlock, place_at
from .settings import BottleneckSettings
from .targets import matching_blocks

PEFT_TYPE = "NEMO_ADAPTER"
MERGES = False
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
}


class Bottleneck(nn.Module):
    """Narrows, bends, widens and adds; nothing at first."""

    method = "adapter"

    def __init__(self, settings: BottleneckSettings, *, width: int) -> None:
        super().__init__()
        self.settings = settings
        self.down = nn.utils.skip_init(nn.Linear, width, settings.size)
        self.up = nn.utils.skip_init(nn.Linear, settings.size, width)
        self.norm = None if settings.norm == "none" else nn.LayerNorm(width)

    @torch.no_grad()
    def initialize(self, draw: torch.Generator) -> None:
        """Draw the layers so that nothing is added yet: the last of them, layer or norm, is zero."""
        after = self.settings.norm == "post"
        for layer, is_zero in ((self.down, False), (self.up, not after)):
            bound = 0.0 if is_zero else 1 / math.sqrt(layer.in_features)
            layer.weight.uniform_(-bound, bound, generator=draw)
            layer.bias.zero_()
        if after and self.norm is not None:
            self.norm.weight.zero_()

    def change(self, x: Tensor) -> Tensor:
        """What is added. [..., E] -> [..., E]."""
        if self.settings.norm == "pre" and self.norm is not None:
            x = self.norm(x)
        x = self.up(ACTIVATIONS[self.settings.activation](self.down(x)))
        if self.settings.norm == "post" and self.norm is not None:
            x = self.norm(x)
        return F.dropout(x, self.settings.dropout, self.training) * self.settings.scale

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """From a block's input and output, its adapted output. [..., E] -> [..., E]."""
        return y + self.change(y)

    def stored(self) -> dict[str, Tensor]:
        """Tensors as our folders name them."""
        return {f"adapter.{name}": tensor for name, tensor in self.named_parameters()}


def attach(
    model: nn.Module,
    settings: BottleneckSettings,
    *,
    adapter: str,
    start: Start,
    kind: type[Bottleneck] = Bottleneck,
) -> None:
    """Give every block that the targets choose a bottleneck."""
    config: Any = model.config
    draw = start.draw
    like = next(model.parameters())
    for name in matching_blocks(model, settings.targets):
        part = kind(settings, width=config.hidden_size)
        part.initialize(draw)
        place_at(model, name, AdaptedBlock).adapters[adapter] = part.to(device=home(like), dtype=like.dtype)


def describe(settings: BottleneckSettings, names: Mapping[str, str], *, model: nn.Module) -> dict[str, Any]:
    """The settings themselves."""
    return {k: v for k, v in asdict(settings).items() if k != "targets"} | {"target_modules": sorted(names.values())}


def understand(values: Mapping[str, Any], names: Sequence[str], tensors: Mapping[str, Tensor]) -> BottleneckSettings:
    """The settings themselves."""
    return BottleneckSettings(
        size=values["size"],
        activation=values["activation"],
        norm=values["norm"],
        scale=values["scale"],
        dropout=values["dropout"],
        targets=tuple(names),
    )


def num_trained(settings: BottleneckSettings, shapes: Sequence[tuple[int, int]]) -> int:
    """2 E S + S + E for every block, and 2 E more with a norm."""
    norm = 0 if settings.norm == "none" else 2
    return sum(2 * width * settings.size + settings.size + (1 + norm) * width for _, width in shapes)
