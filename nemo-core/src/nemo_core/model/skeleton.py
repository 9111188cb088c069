"""A decoder without numbers, for weights that come from elsewhere."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..config import ModelConfig
from .decoder import Decoder

DRAWS = (Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_)


class LeaveUndrawn(TorchFunctionMode):
    """Within the block no tensor is initialised; on the meta device even that loads torch's compiler, for seconds."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Pass on everything but the filling of tensors."""
        named = kwargs or {}
        if func in DRAWS or getattr(func, "__module__", None) == nn.init.__name__:
            return named["tensor"] if "tensor" in named else args[0]
        return func(*args, **named)


def outline(config: ModelConfig) -> Decoder:
    """The decoder of `config` without numbers."""
    with torch.device("meta"), LeaveUndrawn():
        return Decoder(config)


def skeleton(config: ModelConfig, weights: dict[str, Tensor], *, device: str | torch.device) -> Decoder:
    """The decoder of `config` around `weights`, which are used as they are; its tables lie on `device`."""
    model = outline(config)
    model.load_state_dict(weights, assign=True)
    with torch.device(device):
        model.make_tables()
    return model
