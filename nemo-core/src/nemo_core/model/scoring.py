"""A decoder with scores in the place of a vocabulary: classes of a text, its reward, or the value of each token.

B batch, T position, E hidden width, C scores.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from ..foundation.errors import InputError
from .decoder import Decoder


class ScoringModel(nn.Module):
    """Hidden states of `decoder` through one linear layer without bias, as Hugging Face's classifiers have it.

    The decoder has no output head of its own (its embeddings count as tied). `labels` names the scores; a reward or
    value model has one.
    """

    def __init__(self, decoder: Decoder, labels: Sequence[str]) -> None:
        super().__init__()
        self.decoder, self.labels = decoder, tuple(labels)
        self.score = nn.Linear(decoder.config.hidden_size, len(self.labels), bias=False)

    @property
    def config(self) -> ModelConfig:
        """Settings of the decoder."""
        return self.decoder.config

    def flops_per_token(self, sequence_length: int) -> float:
        """As the config has it, without scores over the vocabulary."""
        config = self.config
        return config.flops_per_token(sequence_length) - 6.0 * config.vocab_size * config.hidden_size

    def forward(self, ids_BT: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Scores of each row at its last token, [B, C]; rows are filled up on the right, `lengths_B` says from where.

        Without lengths the last token is the last one that is not `pad_id`, as transformers has it.
        Raises InputError where neither tells, or a length is not within the row.
        """
        last_B = self.last_places(ids_BT) if lengths_B is None else lengths_B - 1
        if bool(((last_B < 0) | (last_B >= ids_BT.shape[1])).any()):
            raise InputError(f"lengths {(last_B + 1).tolist()} do not fit rows of {ids_BT.shape[1]} tokens")
        hidden_BTE = self.decoder(ids_BT)
        chosen_BE = hidden_BTE[torch.arange(len(ids_BT), device=ids_BT.device), last_B]
        scores_BC: Tensor = self.score(chosen_BE)
        return scores_BC

    def last_places(self, ids_BT: Tensor) -> Tensor:
        """Where the last token of each row is that is no filling, [B]."""
        pad = self.decoder.config.pad_id
        if pad is None:
            if len(ids_BT) > 1:
                raise InputError("rows without lengths, and no pad_id to tell their ends by; give lengths")
            return torch.tensor([ids_BT.shape[1] - 1], device=ids_BT.device)
        places_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
        return torch.where(ids_BT != pad, places_T, -1).amax(-1).clamp_(min=0)

    def values(self, ids_BT: Tensor, positions_BT: Tensor | None = None, segments_BT: Tensor | None = None) -> Tensor:
        """Scores at every token, [B, T, C]; packed rows as in `Decoder.forward`."""
        scores_BTC: Tensor = self.score(self.decoder(ids_BT, positions_BT, segments_BT))
        return scores_BTC


@torch.no_grad()
def new_scoring_model(decoder: Decoder, labels: Sequence[str], *, seed: int) -> ScoringModel:
    """A decoder with a fresh head, drawn as its weights are."""
    decoder.lm_head = None
    model = ScoringModel(decoder, labels)
    draw = torch.Generator().manual_seed(seed)
    model.score.weight.normal_(0.0, decoder.config.initializer_range, generator=draw)
    return model.to(decoder.head_weight.device)
