"""One request on its way: its tokens, which of them are cached, and when its answer has ended."""

import secrets
from collections.abc import Set

import torch
from torch import Tensor

from ..tokenizer.load import Tokenizer
from .request import Alternatives, Delta, FinishReason, Request
from .text import TextStream

MASK_64 = 2**64 - 1


class Sequence:
    """The tokens of a prompt and of the answer so far. At most `room` tokens are added."""

    def __init__(self, request: Request, *, room: int, tokenizer: Tokenizer | None, stream_text: bool) -> None:
        sampling = request.sampling
        self.request, self.sampling = request, sampling
        self.tokens: list[int] = list(request.prompt_ids)
        self.num_cached = 0
        self.num_generated = 0
        self.seed = (secrets.randbits(64) if sampling.seed is None else sampling.seed) & MASK_64
        self._limit = min(sampling.max_tokens, room)
        self._seen_V: Tensor | None = None
        self._tokenizer = tokenizer
        self._stop_ids = stop_ids(request, tokenizer)
        self._text: TextStream | None = None
        if tokenizer is not None and (stream_text or sampling.stop):
            self._text = TextStream(tokenizer, sampling.stop)

    def seen(self, vocab_size: int, device: torch.device) -> Tensor:
        """Which tokens occurred so far, [V] bool."""
        if self._seen_V is None:
            self._seen_V = torch.zeros(vocab_size, dtype=torch.bool, device=device)
            self._seen_V[self.tokens] = True
        return self._seen_V

    def accept(self, token: int, logprob: float, top: Alternatives) -> Delta:
        """Add the next token; the delta says what became certain by it."""
        self.tokens.append(token)
        self.num_generated += 1
        if self._seen_V is not None:
            self._seen_V[token] = True
        delta = Delta(self.request.id, [token])
        if self.sampling.logprobs is not None:
            delta.logprobs, delta.top_logprobs = [logprob], [top]
        self._read(token, delta)
        return delta

    def _read(self, token: int, delta: Delta) -> None:
        """Set the delta's text and finish reason."""
        ended_by_id = token in self._stop_ids
        if self._text is not None and not ended_by_id:
            delta.text = self._text.feed(token)
        delta.finish_reason = self._reason(ended_by_id)
        if delta.finish_reason is not None:
            delta.text += self._rest(self.num_generated - ended_by_id)
            delta.finish_reason = self._reason(ended_by_id)

    def _reason(self, ended_by_id: bool) -> FinishReason | None:
        if ended_by_id or (self._text is not None and self._text.stopped):
            return "stop"
        return "length" if self.num_generated >= self._limit else None

    def _rest(self, count: int) -> str:
        """The text not handed out yet: what the stream holds or, where text is not streamed, that of `count` tokens."""
        if self._text is not None:
            return self._text.flush()
        start = len(self.request.prompt_ids)
        return self._tokenizer.decode(self.tokens[start : start + count]) if self._tokenizer else ""


def stop_ids(request: Request, tokenizer: Tokenizer | None) -> Set[int]:
    """Token ids that end the answer: the request's own, and the tokenizer's unless they are to be ignored."""
    own = frozenset(request.sampling.stop_ids)
    return own if tokenizer is None or request.sampling.ignore_eos else own | tokenizer.stop_ids
