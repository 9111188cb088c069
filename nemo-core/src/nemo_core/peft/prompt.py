"""Prompt tuning (Lester et al. 2021): learnt embeddings of virtual tokens before every sequence.

P virtual tokens, E hidden width, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..foundation.errors import ConfigError
from .method import Start
from .places import AdaptedEmbedding, place_at
from .settings import PromptSettings, PTuningSettings

PEFT_TYPE = "PROMPT_TUNING"
MERGES = False
EMBEDDING = "model.embed_tokens"


class Prompt(nn.Module):
    """Embeddings of virtual tokens; called, it gives them all, [P, E]."""

    def __init__(self, embedding_PE: Tensor, settings: PromptSettings | PTuningSettings, *, method: str) -> None:
        super().__init__()
        self.settings, self.method = settings, method
        self.embedding_PE = nn.Parameter(embedding_PE)

    def forward(self) -> Tensor:
        """The embeddings, [P, E]."""
        return self.embedding_PE

    def stored(self) -> dict[str, Tensor]:
        """Tensors as peft names them."""
        return {"prompt_embeddings": self.embedding_PE}


def attach(model: nn.Module, settings: PromptSettings, *, adapter: str, start: Start) -> None:
    """Give the embedding virtual tokens."""
    place = embedding_place(model)
    if start.restored:
        first_PE = place.weight.new_zeros(settings.num_tokens, place.weight.shape[1])
    else:
        first_PE = initial(settings, start.numbers(f"{EMBEDDING}.weight", place.weight) * place.scale, start)
    place.adapters[adapter] = Prompt(first_PE, settings, method="prompt")


def embedding_place(model: nn.Module) -> AdaptedEmbedding:
    """The model's embedding as a place for virtual tokens."""
    config: Any = model.config
    place = place_at(model, EMBEDDING, AdaptedEmbedding)
    place.scale = config.embedding_scale or 1.0
    return place


def initial(settings: PromptSettings, weight_VE: Tensor, start: Start) -> Tensor:
    """The embeddings to start from, [P, E]."""
    shape = (settings.num_tokens, weight_VE.shape[1])
    if settings.init == "random":
        return torch.empty(shape, dtype=weight_VE.dtype).normal_(generator=start.draw).to(weight_VE.device)
    if settings.init == "vocabulary":
        ids_P = torch.randint(weight_VE.shape[0], shape[:1], generator=start.draw)
    else:
        ids = start.encode(settings.text) if start.encode else []
        if not ids:
            raise ConfigError(f"prompt.text={settings.text!r}: no tokens to start from; give a text and a tokenizer")
        ids_P = torch.tensor((ids * -(-settings.num_tokens // len(ids)))[: settings.num_tokens])
    return weight_VE[ids_P.to(weight_VE.device)].clone()


def describe(settings: PromptSettings, names: Mapping[str, str], *, model: nn.Module) -> dict[str, Any]:
    """The PromptTuningConfig that the peft library reads."""
    return {**prompt_shape(settings.num_tokens, model), "prompt_tuning_init": "RANDOM"}


def prompt_shape(num_tokens: int, model: nn.Module) -> dict[str, Any]:
    """What peft's prompt methods say of the model."""
    config: Any = model.config
    return {
        "num_virtual_tokens": num_tokens,
        "token_dim": config.hidden_size,
        "num_transformer_submodules": 1,
        "num_attention_heads": config.num_heads,
        "num_layers": config.num_layers,
    }


def understand(values: Mapping[str, Any], names: Sequence[str], tensors: Mapping[str, Tensor]) -> PromptSettings:
    """Settings of a PromptTuningConfig."""
    return PromptSettings(num_tokens=values["num_virtual_tokens"], init="random")


def num_trained(settings: PromptSettings, shapes: Sequence[tuple[int, int]]) -> int:
    """P E; the one place is the embedding, (V, E)."""
    return settings.num_tokens * shapes[0][1]
