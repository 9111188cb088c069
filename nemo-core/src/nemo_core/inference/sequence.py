"""One request on its way: its tokens, which of them are cached, and when its answer has ended."""

import secrets
from collections import Counter
from collections.abc import Hashable, Set
from collections.abc import Sequence as Seq

from ..tokenizer.load import Tokenizer
from .penalties import has_rules
from .request import Alternatives, Delta, FinishReason, Request
from .scheduler import Row
from .text import TextStream

MASK_64 = 2**64 - 1
Score = tuple[float, Alternatives]


class Sequence(Row):
    """The tokens of a prompt and of the answer so far. At most `room` tokens are added."""

    def __init__(
        self,
        request: Request,
        *,
        room: int,
        tokenizer: Tokenizer | None,
        stream_text: bool,
        namespace: Hashable = None,
    ) -> None:
        sampling = request.sampling
        super().__init__(list(request.prompt_ids), namespace=namespace, shares=sampling.prompt_logprobs is None)
        self.request, self.sampling = request, sampling
        self.num_generated = 0
        self.seed = (secrets.randbits(64) if sampling.seed is None else sampling.seed) & MASK_64
        self.counts: Counter[int] = Counter()
        self.seen = set(self.tokens) if has_rules(sampling) else set[int]()
        self.prompt_scores: list[Score] = []
        self._limit = min(sampling.max_tokens, room)
        self.reach = len(self.tokens) + self._limit
        self._tokenizer = tokenizer
        self._stop_ids = stop_ids(request, tokenizer)
        self._text: TextStream | None = None
        if tokenizer is not None and (stream_text or sampling.stop):
            self._text = TextStream(tokenizer, sampling.stop)

    @property
    def forbidden(self) -> Seq[int]:
        """Tokens that must not come next, because the answer would end before `min_tokens`."""
        return list(self._stop_ids) if self.num_generated < self.sampling.min_tokens else ()

    @property
    def unscored(self) -> range:
        """Prompt positions whose next token's log-probability is asked for and not known yet."""
        if self.sampling.prompt_logprobs is None:
            return range(0)
        return range(len(self.prompt_scores), len(self.request.prompt_ids) - 1)

    def accept(self, token: int, logprob: float, top: Alternatives) -> Delta:
        """Add the next token; the delta says what became certain by it."""
        self.tokens.append(token)
        self.num_generated += 1
        if self.seen:
            self.seen.add(token)
            self.counts[token] += 1
        delta = Delta(self.request.id, [token])
        if self.sampling.logprobs is not None:
            delta.logprobs, delta.top_logprobs = [logprob], [top]
        if self.num_generated == 1 and self.prompt_scores:
            delta.prompt_logprobs, delta.prompt_top_logprobs = map(list, zip(*self.prompt_scores))
        self._read(token, delta)
        return delta

    def _read(self, token: int, delta: Delta) -> None:
        """Set the delta's text and finish reason."""
        ended_by_id = token in self._stop_ids
        if self._text is not None and not ended_by_id:
            delta.text = self._text.feed(token, may_stop=self.num_generated >= self.sampling.min_tokens)
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
