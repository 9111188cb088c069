"""Adapters beside a block (He et al. 2022): y + scale * up(act(down(norm(x)))), x being the block's input."""

from torch import Tensor, nn

from . import bottleneck
from .bottleneck import Bottleneck, describe, num_trained, understand
from .method import Start
from .settings import BottleneckSettings

__all__ = ["MERGES", "PEFT_TYPE", "attach", "describe", "num_trained", "understand"]

PEFT_TYPE = "NEMO_PARALLEL_ADAPTER"
MERGES = False


class ParallelBottleneck(Bottleneck):
    """Narrows, bends and widens the block's input and adds it to its output."""

    method = "parallel_adapter"

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """From a block's input and output, its adapted output. [..., E] -> [..., E]."""
        return y + self.change(x)


def attach(model: nn.Module, settings: BottleneckSettings, *, adapter: str, start: Start) -> None:
    """Give every block that the targets choose a bottleneck beside it."""
    bottleneck.attach(model, settings, adapter=adapter, start=start, kind=ParallelBottleneck)
