"""P-tuning (Liu et al. 2021): a network makes the embeddings of virtual tokens; only they are kept in the end.

The networks are those of peft's PromptEncoder. P virtual tokens, E hidden width, H the network's width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .method import Start, home
from .prompt import Prompt, embedding_place, prompt_shape
from .settings import PTuningSettings

PEFT_TYPE = "P_TUNING"
MERGES = False


class PromptEncoder(nn.Module):
    """Embeddings of virtual tokens, made from learnt ones by an MLP or an LSTM with an MLP."""

    method = "ptuning"

    def __init__(self, settings: PTuningSettings, *, width: int) -> None:
        super().__init__()
        self.settings = settings
        inner = settings.hidden_size or width
        self.embedding = nn.Embedding(settings.num_tokens, width)
        self.lstm_head: nn.LSTM | None = None
        if settings.encoder == "lstm":
            self.lstm_head = nn.LSTM(
                width, inner, settings.num_layers, dropout=settings.dropout, bidirectional=True, batch_first=True
            )
            layers = [nn.Linear(2 * inner, 2 * inner), nn.ReLU(), nn.Linear(2 * inner, width)]
        else:
            layers = [nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, inner), nn.ReLU(), nn.Linear(inner, width)]
        self.mlp_head = nn.Sequential(*layers)

    def forward(self) -> Tensor:
        """The embeddings, [P, E]."""
        x_PE: Tensor = self.embedding.weight
        if self.lstm_head is not None:
            x_PE = self.lstm_head(x_PE[None])[0][0]
        embedding_PE: Tensor = self.mlp_head(x_PE)
        return embedding_PE

    def stored(self) -> dict[str, Tensor]:
        """What the network makes, as peft names it."""
        return {"prompt_embeddings": self().detach()}


def attach(model: nn.Module, settings: PTuningSettings, *, adapter: str, start: Start) -> None:
    """Give the embedding virtual tokens. From a folder, which holds no network, they are learnt on directly."""
    place = embedding_place(model)
    weight_VE = place.weight
    if start.restored:
        empty_PE = weight_VE.detach().new_zeros(settings.num_tokens, weight_VE.shape[1])
        place.adapters[adapter] = Prompt(empty_PE, settings, method="ptuning")
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(start.seed)
        part = PromptEncoder(settings, width=weight_VE.shape[1])
    place.adapters[adapter] = part.to(device=home(weight_VE), dtype=weight_VE.dtype)


def describe(settings: PTuningSettings, names: Mapping[str, str], *, model: nn.Module) -> dict[str, Any]:
    """The PromptEncoderConfig that the peft library reads."""
    shape = prompt_shape(settings.num_tokens, model)
    return {
        **shape,
        "encoder_reparameterization_type": settings.encoder.upper(),
        "encoder_hidden_size": settings.hidden_size or shape["token_dim"],
        "encoder_num_layers": settings.num_layers,
        "encoder_dropout": settings.dropout,
    }


def understand(values: Mapping[str, Any], names: Sequence[str], tensors: Mapping[str, Tensor]) -> PTuningSettings:
    """Settings of a PromptEncoderConfig."""
    lstm = values.get("encoder_reparameterization_type") == "LSTM"
    return PTuningSettings(
        num_tokens=values["num_virtual_tokens"],
        encoder="lstm" if lstm else "mlp",
        hidden_size=values.get("encoder_hidden_size") or 0,
        num_layers=values.get("encoder_num_layers", 2) if lstm else 2,
        dropout=values.get("encoder_dropout", 0.0) if lstm else 0.0,
    )


def num_trained(settings: PTuningSettings, shapes: Sequence[tuple[int, int]]) -> int:
    """Virtual embeddings and the network: three layers, or an LSTM in both directions and two layers."""
    width = shapes[0][1]
    inner = settings.hidden_size or width
    tokens = settings.num_tokens * width
    if settings.encoder == "mlp":
        return tokens + (width + 1) * inner + (inner + 1) * inner + (inner + 1) * width
    widths = [width] + [2 * inner] * (settings.num_layers - 1)
    lstm = sum(2 * 4 * inner * (incoming + inner + 2) for incoming in widths)
    return tokens + lstm + (2 * inner + 1) * 2 * inner + (2 * inner + 1) * width
