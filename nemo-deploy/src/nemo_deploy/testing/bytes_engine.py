"""An engine without a model: it draws bytes. The smallest complete example of the protocol, and a floor for timing.

Tokens are the 256 bytes and an end (256). Drawing depends on the seed and the prompt alone, so equal requests get
equal answers whatever runs beside them.
"""

import codecs
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..engines.protocol import Delta, FinishReason, GenerateRequest, LoadedModel, Message, TokenLogprob

END = 256
LOGPROB = -2.0
LETTERS = "abcdefgh äöü€🙂"


class BytesTokenizer:
    """One token per UTF-8 byte."""

    vocab_size = 257
    eos_id: int | None = END

    def encode_prompt(self, text: str) -> list[int]:
        """The bytes of `text`."""
        return list(text.encode())

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The text of bytes; the end reads as nothing."""
        return bytes(i for i in ids if i < END).decode(errors="replace")

    def encode_chat(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> list[int]:
        """One line per turn."""
        lines = [f"{message['role']}: {message['content']}\n" for message in messages]
        return self.encode_prompt("".join(lines) + ("assistant: " if add_generation_prompt else ""))


@dataclass
class Running:
    """A request and what it has drawn."""

    request: GenerateRequest
    position: int = 0
    text: str = ""
    _bytes: bytes = b""
    draw: random.Random = field(init=False)
    decoder: codecs.IncrementalDecoder = field(default_factory=codecs.getincrementaldecoder("utf-8"))

    def __post_init__(self) -> None:
        self.draw = random.Random(f"{self.request.seed}/{self.request.prompt_ids}")

    def next(self) -> Delta:
        """One more byte; text appears when a character is whole and goes up to a stop string."""
        token = self._next_byte()
        piece = self.decoder.decode(bytes([token]))
        reason = self._end(piece)
        top = [(token, LOGPROB)] * min(1, self.request.logprobs or 0)
        logprobs = [] if self.request.logprobs is None else [TokenLogprob(token, LOGPROB, top)]
        return Delta(self.request.id, self._visible(piece, reason), [token], logprobs, reason)

    def _next_byte(self) -> int:
        self._bytes = self._bytes or self.draw.choice(LETTERS).encode()
        first, self._bytes = self._bytes[0], self._bytes[1:]
        self.position += 1
        return first

    def _end(self, piece: str) -> FinishReason | None:
        self.text += piece
        if any(stop in self.text for stop in self.request.stop):
            return "stop"
        return "length" if self.position >= self.request.max_tokens else None

    def _visible(self, piece: str, reason: FinishReason | None) -> str:
        if reason != "stop":
            return piece
        cut = min(self.text.find(stop) for stop in self.request.stop if stop in self.text)
        return piece[: max(0, len(piece) - (len(self.text) - cut))]


class BytesEngine:
    """Advances up to `max_slots` requests by one byte per step."""

    def __init__(self, *, max_slots: int = 4, max_length: int = 512) -> None:
        self.max_slots, self.max_length = max_slots, max_length
        self._requests: dict[int, Running] = {}

    @property
    def has_work(self) -> bool:
        """Whether a request is running or waiting."""
        return bool(self._requests)

    @property
    def num_running(self) -> int:
        """Requests that hold a slot."""
        return min(self.max_slots, len(self._requests))

    def add(self, request: GenerateRequest) -> None:
        """Queue a request."""
        self._requests[request.id] = Running(request)

    def cancel(self, request_id: int) -> None:
        """Free the request's slot."""
        self._requests.pop(request_id, None)

    def step(self) -> list[Delta]:
        """Advance the requests that came first."""
        deltas = [running.next() for running in list(self._requests.values())[: self.max_slots]]
        for delta in deltas:
            if delta.finish_reason:
                del self._requests[delta.id]
        return deltas

    def score(self, prompt_ids: Sequence[int], *, top: int) -> list[TokenLogprob]:
        """The same for every byte."""
        return [TokenLogprob(i, LOGPROB, [(i, LOGPROB)] * min(1, top)) for i in prompt_ids[1:]]


def load(*, max_slots: int = 4, max_length: int = 512) -> LoadedModel:
    """A loaded model, as `nemo_deploy.serve` takes it."""
    engine = BytesEngine(max_slots=max_slots, max_length=max_length)
    return LoadedModel(engine=engine, tokenizer=BytesTokenizer(), facts={"engine": "bytes"})
