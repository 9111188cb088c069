"""IA3 (Liu et al. 2022): y = l * (W x + b) at keys and values, y = W (l * x) + b in the feed-forward.

I input width, O output width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .method import Start, home, refuse_unknown
from .naming import exchange_axes
from .places import AdaptedLinear, place_at
from .settings import Ia3Settings
from .targets import matching_linears

PEFT_TYPE = "IA3"
MERGES = True


class Ia3(nn.Module):
    """Learnt scales, one at first, of a linear layer's outputs or (`feedforward`) of its inputs."""

    method = "ia3"

    def __init__(self, base: nn.Linear, settings: Ia3Settings, *, feedforward: bool) -> None:
        super().__init__()
        self.settings, self.feedforward = settings, feedforward
        shape = (1, base.in_features) if feedforward else (base.out_features, 1)
        self.ia3_l = nn.Parameter(torch.ones(shape, dtype=base.weight.dtype, device=home(base.weight)))

    def forward(self, x: Tensor, base: nn.Module) -> Tensor:
        """[..., I] -> [..., O]."""
        scale = self.ia3_l.flatten()
        y: Tensor = base(x * scale) if self.feedforward else base(x) * scale
        return y

    def merged(self, weight_OI: Tensor, bias_O: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the linear layer that answers alike."""
        scaled = bias_O if self.feedforward or bias_O is None else bias_O * self.ia3_l.flatten()
        return weight_OI * self.ia3_l, scaled

    def stored(self) -> dict[str, Tensor]:
        """Tensors as peft names them."""
        return {"ia3_l": self.ia3_l}


def attach(model: nn.Module, settings: Ia3Settings, *, adapter: str, start: Start) -> None:
    """Give every linear layer that the targets choose a scale of ones."""
    chosen, inner = matching_linears(model, settings.targets), inner_targets(model, settings)
    for name in chosen:
        place = place_at(model, name, AdaptedLinear)
        base: nn.Linear = place.base  # type: ignore[assignment]
        place.adapters[adapter] = Ia3(base, settings, feedforward=name in inner)


def inner_targets(model: nn.Module, settings: Ia3Settings) -> set[str]:
    """Targets whose input is scaled."""
    if not settings.feedforward:
        return set()
    return set(matching_linears(model, settings.targets)) & set(matching_linears(model, settings.feedforward))


def describe(settings: Ia3Settings, names: Mapping[str, str], *, model: nn.Module) -> dict[str, Any]:
    """The IA3Config that the peft library reads."""
    return {
        "target_modules": sorted(set(names.values())),
        "feedforward_modules": sorted({names[name] for name in inner_targets(model, settings)}),
        "fan_in_fan_out": exchange_axes(model, names),
        "init_ia3_weights": True,
    }


def understand(values: Mapping[str, Any], names: Sequence[str], tensors: Mapping[str, Tensor]) -> Ia3Settings:
    """Settings of an IA3Config; which places scale their input shows in the tensors' shapes."""
    refuse_unknown(values, {})
    inner = tuple(name for name in names if tensors[f"{name}.ia3_l"].shape[0] == 1)
    return Ia3Settings(targets=tuple(names), feedforward=inner)


def num_trained(settings: Ia3Settings, shapes: Sequence[tuple[int, int]]) -> int:
    """O for every place; callers give the (input, output) widths of feed-forward places turned round."""
    return sum(output for output, _ in shapes)
