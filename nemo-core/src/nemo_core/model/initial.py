"""First weights, drawn all at once or one at a time, the same numbers either way."""

import math

import torch
from torch import Tensor, nn

from ..config import ModelConfig


@torch.no_grad()
def draw_weight(name: str, weight: Tensor, config: ModelConfig, draw: torch.Generator) -> None:
    """Fill a weight: normal, residual outputs scaled by 1/sqrt(2 * layers) (GPT-2); norms one, biases zero."""
    if weight.ndim == 1:
        scale = 0.0 if config.norm.zero_centered else 1.0
        weight.fill_(scale if name.endswith("norm.weight") else 0.0)
        return
    is_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
    weight.normal_(
        0.0, config.initializer_range / math.sqrt(2 * config.num_layers if is_residual else 1), generator=draw
    )


class DrawnWeights:
    """The first weights of a model by name, each drawn when it is asked for, so that one alone is in memory.

    `outline` has their names and shapes; it may be on the device "meta". Where in the stream of random numbers a weight
    begins is known once those before it were drawn: so it depends on the seed and the model, not on who asks for what,
    and asking in the model's order draws each once.
    """

    def __init__(self, outline: nn.Module, config: ModelConfig, *, seed: int) -> None:
        self.config, self.draw = config, torch.Generator().manual_seed(seed)
        self.shapes = {name: tensor.shape for name, tensor in outline.state_dict().items()}
        self.order = {name: number for number, (name, _) in enumerate(outline.named_parameters())}
        self.begins = [self.draw.get_state()]  # of the weights up to the first that was not drawn yet

    def __call__(self, name: str) -> Tensor:
        """One weight; buffers are zero at first."""
        if name not in self.order:
            return torch.zeros(self.shapes[name])
        number, names = self.order[name], list(self.order)
        while len(self.begins) <= number:
            self.drawn_at(len(self.begins) - 1, names)
        return self.drawn_at(number, names)

    def drawn_at(self, number: int, names: list[str]) -> Tensor:
        """The weight of that number, of those whose beginning is known; then the next one's is known, too."""
        self.draw.set_state(self.begins[number])
        weight = self.drawn(names[number], self.shapes[names[number]])
        if len(self.begins) == number + 1:
            self.begins.append(self.draw.get_state())
        return weight

    def drawn(self, name: str, shape: torch.Size) -> Tensor:
        """The weight that comes next."""
        weight = torch.empty(shape, device="cpu")
        draw_weight(name, weight, self.config, self.draw)
        return weight
