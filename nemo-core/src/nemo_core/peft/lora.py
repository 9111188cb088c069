"""LoRA (Hu et al. 2021): y = W x + scale * B A x, with W frozen and scale = alpha / rank.

R rank, I input width, O output width.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..foundation.errors import ArtifactError, ConfigError
from ..model.decoder import Decoder
from .adapter import DEFAULT, add_adapter
from .method import Start, home, refuse_unknown
from .naming import exchange_axes
from .places import AdaptedLinear, parts, place_at
from .quantize import quantized
from .settings import LoraSettings
from .targets import by_pattern, matching_linears

PEFT_TYPE = "LORA"
MERGES = True
UNFOLLOWED: dict[str, tuple[Any, ...]] = {
    "bias": ("none",),
    "lora_bias": (),
    "use_qalora": (),
    "use_bdlora": (),
    "layer_replication": (),
    "trainable_token_indices": (),
    "target_parameters": (),
    "alora_invocation_tokens": (),
    "arrow_config": (),
}
STARTS = (None, True, False, "gaussian", "orthogonal", "eva")  # those of peft that leave the model's own weights alone


Dropout = Callable[[Tensor, float, bool], Tensor]  # input, share that is dropped, whether in training


class Lora(nn.Module):
    """A low-rank addition to one linear layer."""

    method = "lora"

    def __init__(self, base: nn.Linear, settings: LoraSettings, *, rank: int, alpha: float) -> None:
        super().__init__()
        self.settings, self.rank, self.alpha = settings, rank, alpha
        self.scale = alpha / (math.sqrt(rank) if settings.rank_stabilized else rank)
        self.dropout: Dropout = F.dropout
        weight_OI = base.weight
        self.lora_A = nn.Parameter(weight_OI.new_zeros(rank, base.in_features, device=home(weight_OI)))
        self.lora_B = nn.Parameter(weight_OI.new_zeros(base.out_features, rank, device=home(weight_OI)))

    def update_OI(self) -> Tensor:
        """What is added to the weight."""
        return self.lora_B @ self.lora_A * self.scale

    def low_rank(self, x: Tensor) -> Tensor:
        """B A x, scaled; part of x is dropped in training. [..., I] -> [..., O]."""
        dropped = self.dropout(x, self.settings.dropout, self.training)
        return F.linear(F.linear(dropped, self.lora_A), self.lora_B) * self.scale

    def forward(self, x: Tensor, base: nn.Module) -> Tensor:
        """[..., I] -> [..., O]."""
        y: Tensor = base(x) + self.low_rank(x)
        return y

    def merged(self, weight_OI: Tensor, bias_O: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the linear layer that answers alike."""
        return weight_OI + self.update_OI(), bias_O

    def stored(self) -> dict[str, Tensor]:
        """Tensors as peft names them."""
        return {"lora_A.weight": self.lora_A, "lora_B.weight": self.lora_B}


def attach(model: nn.Module, settings: LoraSettings, *, adapter: str, start: Start, kind: type[Lora] = Lora) -> None:
    """Give every linear layer that the targets choose a low-rank addition: A uniform, B zero."""
    draw = start.draw
    for name in matching_linears(model, settings.targets):
        place = place_at(model, name, AdaptedLinear)
        if settings.quantize == "nf4":
            place.base = quantized(place.base)
        base: nn.Linear = place.base  # type: ignore[assignment]
        rank = by_pattern(settings.rank_pattern, name, settings.rank)
        part = kind(base, settings, rank=rank, alpha=by_pattern(settings.alpha_pattern, name, settings.alpha))
        if not start.restored:
            bound = 1 / math.sqrt(base.in_features)
            with torch.no_grad():
                part.lora_A.copy_(torch.empty(part.lora_A.shape).uniform_(-bound, bound, generator=draw))
        place.adapters[adapter] = part


def describe(settings: LoraSettings, names: Mapping[str, str], *, model: nn.Module) -> dict[str, Any]:
    """The LoraConfig that the peft library reads."""
    return {
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "use_rslora": settings.rank_stabilized,
        "use_dora": False,
        "rank_pattern": settings.rank_pattern,
        "alpha_pattern": settings.alpha_pattern,
        "bias": "none",
        "fan_in_fan_out": exchange_axes(model, names),
        "target_modules": sorted(set(names.values())),
    }


def understand(values: Mapping[str, Any], names: Sequence[str], tensors: Mapping[str, Tensor]) -> LoraSettings:
    """Settings of a LoraConfig; ranks are those of the tensors."""
    refuse_unknown(values, UNFOLLOWED)
    if values.get("init_lora_weights") not in STARTS:
        raise ArtifactError(
            f"init_lora_weights={values['init_lora_weights']!r} is not supported: with it peft changes the model's own "
            "weights as well, and they are not in the folder; save it again by peft's save_pretrained with "
            "path_initial_model_for_weight_conversion, or merge it there"
        )
    return LoraSettings(
        rank=values["r"],
        alpha=values["lora_alpha"],
        dropout=values.get("lora_dropout") or 0.0,
        rank_stabilized=bool(values.get("use_rslora")),
        rank_pattern=values.get("rank_pattern") or {},
        alpha_pattern=values.get("alpha_pattern") or {},
        targets=tuple(names),
    )


def num_trained(settings: LoraSettings, shapes: Sequence[tuple[int, int]]) -> int:
    """R (O + I) for every place, where all have the same rank."""
    return sum(settings.rank * (output + width) for output, width in shapes)


def add_lora(model: Decoder, *, rank: int, alpha: float, targets: Sequence[str] = (), seed: int) -> Decoder:
    """`add_adapter` for plain LoRA. Raises ConfigError for a rank below 1 or a target that matches nothing."""
    if rank < 1:
        raise ConfigError(f"rank={rank}: a LoRA rank is at least 1")
    settings = LoraSettings(rank=rank, alpha=alpha, targets=tuple(targets))
    return add_adapter(model, "lora", settings, adapter=DEFAULT, seed=seed)


def lora_layers(model: nn.Module) -> dict[str, Lora]:
    """The low-rank additions of the active adapter by the name of their linear layer."""
    return {name: part for name, part in parts(model).items() if isinstance(part, Lora)}
