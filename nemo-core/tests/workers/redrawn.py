"""A native model whose every weight is drawn, the same in a test and in the processes that it starts."""

import torch

from nemo_core.config import ModelConfig
from nemo_core.model.decoder import Decoder


def redrawn(config: ModelConfig) -> Decoder:
    """Weights and router biases as initialised, and noise on each."""
    model = Decoder(config, seed=0)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.state_dict().values():
            weight.add_(torch.randn(weight.shape, generator=draw) * 0.2)
    return model.eval()
