"""One request on its way: its tokens so far, its text, and whether it is done."""

from ..tokenizer.load import Tokenizer
from .request import Delta, FinishReason, Request


class Sequence:
    """Takes tokens one by one and turns them into deltas."""

    def __init__(
        self,
        request: Request,
        *,
        seed: int,
        stop_ids: frozenset[int],
        room: int,
        tokenizer: Tokenizer | None,
        stream_text: bool,
    ) -> None:
        self.request, self.sampling, self.seed, self.stop_ids = request, request.sampling, seed, stop_ids
        self.limit = min(request.sampling.max_tokens, room)
        self.token_ids: list[int] = []
        self._tokenizer = tokenizer
        self._streams = tokenizer is not None and (stream_text or bool(request.sampling.stop))
        self._decoder = tokenizer.stream_decoder() if tokenizer is not None and self._streams else None
        self._held = ""

    def accept(self, token: int, logprob: float | None, top: list[tuple[int, float]]) -> Delta:
        """Add a token; the delta says what became certain by it."""
        self.token_ids.append(token)
        delta = Delta(id=self.request.id, token_ids=[token])
        if logprob is not None:
            delta.logprobs, delta.top_logprobs = [logprob], [top]
        ended_by_id = token in self.stop_ids
        if self._decoder is not None and not ended_by_id:
            self._held += self._decoder.feed([token])
        cut = self._find_stop()
        if ended_by_id or cut is not None:
            delta.finish_reason = "stop"
        elif len(self.token_ids) >= self.limit:
            delta.finish_reason = "length"
        delta.text = self._release_text(delta.finish_reason, cut)
        return delta

    def _find_stop(self) -> int | None:
        """Where the first stop string begins in the text that is held back."""
        places = [self._held.find(text) for text in self.sampling.stop]
        return min((place for place in places if place >= 0), default=None)

    def _release_text(self, reason: FinishReason | None, cut: int | None) -> str:
        if self._decoder is None:
            return self._whole_text() if reason is not None else ""
        if reason is not None:
            rest = self._held + self._decoder.flush() if cut is None else self._held
            cut = self._first_stop_in(rest) if cut is None else cut
            return rest[:cut]
        keep = self._overlap()
        text, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return text

    def _first_stop_in(self, text: str) -> int | None:
        return min((p for s in self.sampling.stop if (p := text.find(s)) >= 0), default=None)

    def _overlap(self) -> int:
        """Length of the longest end of the held text that may begin a stop string."""
        longest = 0
        for stop in self.sampling.stop:
            for length in range(min(len(stop) - 1, len(self._held)), longest, -1):
                if self._held.endswith(stop[:length]):
                    longest = length
                    break
        return longest

    def _whole_text(self) -> str:
        if self._tokenizer is None:
            return ""
        ended = self.token_ids[-1] in self.stop_ids
        return self._tokenizer.decode(self.token_ids[:-1] if ended else self.token_ids)
