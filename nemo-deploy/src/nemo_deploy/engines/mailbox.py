"""Where the deltas of one HTTP request wait for its handler; lives on the event loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence

from nemo_core.foundation.errors import SuiteError

from .protocol import Delta


class EngineFailed(SuiteError):
    """The engine broke while it worked on a request."""


class Mailbox:
    """Collects deltas of requests `ids` and hands them over in batches, so a slow reader costs no wake-ups."""

    def __init__(self, ids: Sequence[int], cancel: Callable[[Sequence[int]], None]) -> None:
        self.index_of = {request_id: index for index, request_id in enumerate(ids)}
        self.submitted = time.perf_counter()
        self.first_token_s: float | None = None
        self._open = set(ids)
        self._waiting: list[Delta] = []
        self._error: SuiteError | None = None
        self._wake = asyncio.Event()
        self._cancel = cancel

    @property
    def finished(self) -> bool:
        """Whether every request has ended."""
        return not self._open

    def put(self, delta: Delta) -> None:
        """Take a delta; those of requests that ended here already are dropped."""
        if delta.id not in self._open:
            return
        if self.first_token_s is None and delta.token_ids:
            self.first_token_s = time.perf_counter() - self.submitted
        if delta.finish_reason is not None:
            self._open.discard(delta.id)
        self._waiting.append(delta)
        self._wake.set()

    def fail(self, error: SuiteError) -> None:
        """End everything with `error`, raised to whoever reads."""
        self._open.clear()
        self._error = error
        self._wake.set()

    def close(self) -> None:
        """Cancel what has not ended; safe to call twice."""
        if self._open:
            unfinished, self._open = list(self._open), set()
            self._cancel(unfinished)
            self._wake.set()

    async def batches(self) -> AsyncIterator[list[Delta]]:
        """All deltas in order, everything that is there at once, until each request has ended."""
        while self._waiting or self._open or self._error:
            if self._error:
                raise self._error
            if self._waiting:
                batch, self._waiting = self._waiting, []
                yield batch
            else:
                self._wake.clear()
                await self._wake.wait()
