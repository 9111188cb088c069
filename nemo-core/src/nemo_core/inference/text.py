"""From tokens to the text a reader may already see."""

from collections.abc import Sequence

from ..tokenizer.load import Tokenizer


class TextStream:
    """Text of an answer, piece by piece: whole characters only, and never the beginning of a stop string."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]) -> None:
        self._decoder = tokenizer.stream_decoder()
        self._stop = stop
        self._held = ""
        self.stopped = False

    def feed(self, token: int, *, may_stop: bool = True) -> str:
        """Text that became certain; `stopped` is true once a stop string appeared, which the text leaves out.

        Where it may not stop yet, text is handed out whatever it says.
        """
        piece = self._decoder.feed([token])
        return self._release(piece) if may_stop else piece

    def flush(self) -> str:
        """What was held back, at the end of the answer."""
        if self.stopped:
            return ""
        released = self._release(self._decoder.flush())
        return released if self.stopped else released + self._held

    def _release(self, piece: str) -> str:
        if not self._stop:
            return piece
        self._held += piece
        found = [at for at in (self._held.find(s) for s in self._stop) if at >= 0]
        self.stopped = bool(found)
        end = min(found) if found else len(self._held) - overlap(self._held, self._stop)
        released, self._held = self._held[:end], self._held[end:]
        return released


def overlap(text: str, stop: Sequence[str]) -> int:
    """How many last characters of `text` may be the beginning of a stop string."""
    longest = max(map(len, stop))
    sizes = range(min(len(text), longest - 1), 0, -1)
    return next((size for size in sizes if any(s.startswith(text[-size:]) for s in stop)), 0)
