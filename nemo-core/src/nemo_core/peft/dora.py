"""DoRA (Liu et al. 2024): the weight's direction is changed by a low-rank update, its length per output is learnt.

y = (m / |W + scale * B A|) (W + scale * B A) x; the norm counts as a constant in the gradient (section 4.3).
R rank, I input width, O output width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import lora
from .lora import Lora
from .method import Start, home
from .places import frozen_modules, parts
from .settings import LoraSettings

PEFT_TYPE = "LORA"
MERGES = True


class Dora(Lora):
    """A low-rank change of direction and a learnt length for one linear layer."""

    method = "dora"

    def __init__(self, base: nn.Linear, settings: LoraSettings, *, rank: int, alpha: float) -> None:
        super().__init__(base, settings, rank=rank, alpha=alpha)
        self.magnitude_O = nn.Parameter(
            torch.ones(base.out_features, dtype=base.weight.dtype, device=home(base.weight))
        )

    def gain_O(self, weight_OI: Tensor) -> Tensor:
        """Learnt length over actual length."""
        length_O: Tensor = (weight_OI + self.update_OI().detach()).norm(dim=1)
        return self.magnitude_O / length_O

    def forward(self, x: Tensor, base: nn.Module) -> Tensor:
        """[..., I] -> [..., O]; in training, dropout concerns the whole change, as in peft."""
        weight_OI: Tensor = base.weight  # type: ignore[assignment]
        gain_O = self.gain_O(weight_OI)
        y: Tensor = base(x)
        if self.training and self.settings.dropout:
            kept = self.dropout(x, self.settings.dropout, True)
            plain, update = F.linear(kept, weight_OI), F.linear(F.linear(kept, self.lora_A), self.lora_B) * self.scale
        else:
            bias: Tensor | None = base.bias  # type: ignore[assignment]
            plain, update = (y if bias is None else y - bias), self.low_rank(x)
        return y + (gain_O - 1) * plain + gain_O * update

    def merged(self, weight_OI: Tensor, bias_O: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the linear layer that answers alike."""
        return self.gain_O(weight_OI)[:, None] * (weight_OI + self.update_OI()), bias_O

    def stored(self) -> dict[str, Tensor]:
        """Tensors as peft names them."""
        return {**super().stored(), "lora_magnitude_vector": self.magnitude_O}


def attach(model: nn.Module, settings: LoraSettings, *, adapter: str, start: Start) -> None:
    """As LoRA; lengths start as those of the weights."""
    lora.attach(model, settings, adapter=adapter, start=start, kind=Dora)
    if start.restored:
        return
    frozen = dict(frozen_modules(model))
    for name, part in parts(model, adapter).items():
        weight_OI: Any = frozen[name].weight
        magnitude_O: Any = part.magnitude_O
        magnitude_O.data.copy_(start.numbers(f"{name}.weight", weight_OI).norm(dim=1))


def describe(settings: LoraSettings, names: Mapping[str, str], *, model: nn.Module) -> dict[str, Any]:
    """The LoraConfig that the peft library reads."""
    return {**lora.describe(settings, names, model=model), "use_dora": True}


def understand(values: Mapping[str, Any], names: Sequence[str], tensors: Mapping[str, Tensor]) -> LoraSettings:
    """Settings of a LoraConfig with use_dora."""
    return lora.understand(values, names, tensors)


def num_trained(settings: LoraSettings, shapes: Sequence[tuple[int, int]]) -> int:
    """R (O + I) + O for every place."""
    return lora.num_trained(settings, shapes) + sum(output for output, _ in shapes)
