"""The reference: a frozen model that says how likely answers were before alignment."""

from collections.abc import Sequence
from pathlib import Path

import torch

from nemo_core.checkpoint.folder import load_model
from nemo_core.model.decoder import Decoder

from ..logprobs import Turn, answer_log_probs, bucket_by_length, collate


@torch.no_grad()
def turn_log_probs(
    model: Decoder, turns: Sequence[Turn], *, max_tokens: int, temperature: float = 1.0
) -> list[list[float]]:
    """Log-prob of every answer token of each turn, in the turns' order."""
    was_training = model.training
    model.eval()
    found: list[list[float]] = [[] for _ in turns]
    for bucket in bucket_by_length([len(turn) for turn in turns], max_tokens=max_tokens):
        batch = collate([turns[index] for index in bucket])
        logps = answer_log_probs(model, batch, temperature=temperature).tolist()
        start = 0
        for index in bucket:
            stop = start + len(turns[index].answer_ids)
            found[index], start = logps[start:stop], stop
    model.train(was_training)
    return found


class Reference:
    """A model that is only asked."""

    def __init__(self, folder: Path, max_tokens: int, temperature: float = 1.0) -> None:
        self.model = load_model(folder).requires_grad_(False)
        self.max_tokens, self.temperature = max_tokens, temperature

    def log_probs(self, turns: Sequence[Turn]) -> list[list[float]]:
        """Log-prob of every answer token of each turn."""
        return turn_log_probs(self.model, turns, max_tokens=self.max_tokens, temperature=self.temperature)
