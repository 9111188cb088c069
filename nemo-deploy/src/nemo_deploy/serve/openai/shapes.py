"""The two forms of an answer: text completions and chat completions, whole or as pieces of a stream."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Protocol

from ...engines.protocol import Delta, Tokenizer, TokenLogprob
from .replies import (
    Alternative,
    AnswerMessage,
    ChatChoice,
    ChatDelta,
    ChatLogprobs,
    MessageDelta,
    ObjectName,
    TextChoice,
    TextLogprobs,
    TokenChoice,
)

Whole = TextChoice | ChatChoice
Piece = TextChoice | ChatDelta


class Shape(Protocol):
    """How one route words its answer."""

    @property
    def id_prefix(self) -> str:
        """First part of reply ids."""

    @property
    def whole_name(self) -> ObjectName:
        """`object` of a whole reply."""

    @property
    def piece_name(self) -> ObjectName:
        """`object` of a chunk."""

    def opening(self, index: int) -> Piece | None:
        """A chunk that comes before the first token of a choice."""

    def piece(self, delta: Delta) -> Piece:
        """A chunk."""

    def whole(self, delta: Delta) -> Whole:
        """A choice that is complete."""


@dataclass(frozen=True)
class TextShape:
    """Choices of /v1/completions."""

    tokenizer: Tokenizer
    with_logprobs: bool
    id_prefix: str = "cmpl"
    whole_name: ObjectName = "text_completion"
    piece_name: ObjectName = "text_completion"
    _offsets: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def opening(self, index: int) -> None:
        """Nothing: the first token opens a text."""

    def piece(self, delta: Delta) -> TextChoice:
        """A chunk; the offsets of its tokens continue those of the choice's earlier chunks."""
        logprobs = self._logprobs(delta) if self.with_logprobs else None
        return TextChoice(delta.id, delta.text, logprobs, delta.finish_reason)

    whole = piece

    def _logprobs(self, delta: Delta) -> TextLogprobs:
        table = TextLogprobs()
        for entry in delta.logprobs:
            token = token_text(self.tokenizer, entry.token_id)
            table.tokens.append(token)
            table.token_logprobs.append(entry.logprob)
            table.top_logprobs.append(top_table(entry, self.tokenizer))
            table.text_offset.append(self._offsets[delta.id])
            self._offsets[delta.id] += len(token)
        return table


def token_text(tokenizer: Tokenizer, token_id: int) -> str:
    """How one token reads alone, special ones included."""
    return tokenizer.decode([token_id], skip_special=False)


def top_table(entry: TokenLogprob, tokenizer: Tokenizer) -> dict[str, float] | None:
    """Likeliest tokens by their text, the chosen one included; of tokens that read alike the likeliest counts."""
    if entry.logprob is None:
        return None
    table: dict[str, float] = {}
    for token_id, logprob in [*entry.top, (entry.token_id, entry.logprob)]:
        table.setdefault(token_text(tokenizer, token_id), logprob)
    return table


@dataclass(frozen=True)
class ChatShape:
    """Choices of /v1/chat/completions."""

    tokenizer: Tokenizer
    with_logprobs: bool
    id_prefix: str = "chatcmpl"
    whole_name: ObjectName = "chat.completion"
    piece_name: ObjectName = "chat.completion.chunk"

    def opening(self, index: int) -> ChatDelta:
        """Who speaks."""
        return ChatDelta(index, MessageDelta(role="assistant", content=""))

    def piece(self, delta: Delta) -> ChatDelta:
        """A chunk."""
        content = MessageDelta(content=delta.text) if delta.text else MessageDelta()
        return ChatDelta(delta.id, content, self._logprobs(delta), delta.finish_reason)

    def whole(self, delta: Delta) -> ChatChoice:
        """A complete turn."""
        return ChatChoice(delta.id, AnswerMessage(delta.text), self._logprobs(delta), delta.finish_reason)

    def _logprobs(self, delta: Delta) -> ChatLogprobs | None:
        if not self.with_logprobs:
            return None
        return ChatLogprobs([self._choice(entry) for entry in delta.logprobs])

    def _choice(self, entry: TokenLogprob) -> TokenChoice:
        assert entry.logprob is not None, "only a prompt's first token has no probability"
        chosen = self._alternative(entry.token_id, entry.logprob)
        top = [self._alternative(token_id, logprob) for token_id, logprob in entry.top]
        return TokenChoice(chosen.token, chosen.logprob, chosen.bytes, top)

    def _alternative(self, token_id: int, logprob: float) -> Alternative:
        text = token_text(self.tokenizer, token_id)
        return Alternative(text, logprob, list(text.encode()))
