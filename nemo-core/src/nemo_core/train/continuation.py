"""Texts that a laid-out model goes on with, all processes together; keys and values of what was read are kept.

The engine of `inference` wants the whole model in one process; this asks for nothing but forward passes.
Q texts, T places of the longest one, S places so far, K key/value heads of this process, D head width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..model.decoder import Decoder
from ..parallel.model import ParallelModel
from .device import Compute


class KeptPlaces:
    """Keys and values of one layer, as they come."""

    def __init__(self) -> None:
        self.kept: tuple[Tensor, Tensor] | None = None

    def extend(self, k_QKTD: Tensor, v_QKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the new places; keys and values of all, [Q, K, S, D] each."""
        if self.kept is not None:
            k_QKTD, v_QKTD = (torch.cat(pair, 2) for pair in zip(self.kept, (k_QKTD, v_QKTD)))
        self.kept = k_QKTD, v_QKTD
        return self.kept


class Continuation:
    """What a model expects after some texts, one token further at every call."""

    def __init__(self, model: Decoder, texts: Sequence[Sequence[int]], *, num_layers: int, room: int) -> None:
        self.model, self.texts = model, texts
        self.cache = [KeptPlaces() for _ in range(num_layers)]
        self.planned_length = max(map(len, texts)) + room

    def begin(self, device: torch.device) -> Tensor:
        """Read the texts; the likeliest token after each, [Q]. They are filled up to one length, unseen by them."""
        longest = max(map(len, self.texts))
        ids_QT = torch.tensor([[*text, *[0] * (longest - len(text))] for text in self.texts], device=device)
        self.length_Q = torch.tensor([len(text) for text in self.texts], device=device)
        self.seen_QS = torch.arange(longest, device=device) < self.length_Q[:, None]
        causal_TT = torch.ones(longest, longest, dtype=torch.bool, device=device).tril()
        hidden_QTE = self.model(ids_QT, None, None, self.cache, causal_TT[None, None], self.planned_length)
        row_Q = torch.arange(len(self.texts), device=device)
        return self.model.logits(hidden_QTE[row_Q, self.length_Q - 1]).argmax(-1)

    def go_on(self, token_Q: Tensor) -> Tensor:
        """Read one more token of each text; the likeliest after it, [Q]."""
        self.seen_QS = torch.cat([self.seen_QS, torch.ones_like(self.seen_QS[:, :1])], 1)
        place_Q1, self.length_Q = self.length_Q[:, None], self.length_Q + 1
        allowed_Q11S = self.seen_QS[:, None, None]
        hidden_Q1E = self.model(token_Q[:, None], place_Q1, None, self.cache, allowed_Q11S, self.planned_length)
        return self.model.logits(hidden_Q1E[:, 0]).argmax(-1)


@torch.no_grad()
def likeliest_answers(
    parallel: ParallelModel,
    texts: Sequence[Sequence[int]],
    *,
    stop_ids: frozenset[int],
    max_tokens: int,
    compute: Compute,
) -> list[list[int]]:
    """The greedy continuation of each text, without the token that stops it; the same in every process."""
    said: list[list[int]] = [[] for _ in texts]
    ended = [False] * len(texts)
    config = parallel.blueprint.config
    # Shapes change at every token, and few tokens are asked for: compiling for them would cost more than it saves.
    with parallel.measuring() as model, compute.precision(), torch.compiler.set_stance("force_eager"):
        model.eval()
        going = Continuation(model, texts, num_layers=config.num_layers, room=max_tokens)
        token_Q = going.begin(compute.device)
        for number in range(max_tokens):
            parallel.world.copy_first_(token_Q)  # the others' may differ where two tokens are as likely
            for text, token in enumerate(token_Q.tolist()):
                ended[text] = ended[text] or token in stop_ids
                said[text] += [] if ended[text] else [token]
            if all(ended) or number == max_tokens - 1:
                break
            token_Q = going.go_on(token_Q)
    return said
