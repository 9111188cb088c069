"""Requests asked side by side, within limits, until each has an answer."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...foundation.backend import Backend, load_backend
from ...foundation.errors import ConfigError, RetryableError
from ...foundation.progress import Progress
from .journal import Journal
from .request import Again, Answer, Message, Request, Wrong, understand, wait_s
from .settings import Endpoint, Sampling

CLIENTS = {"httpx": Backend(module="nemo_curator.synthesize.endpoint.httpx_backend", extra="synthesize")}


class Pace:
    """Spreads the beginnings of requests evenly over a minute."""

    def __init__(self, per_min: float | None) -> None:
        self._gap_s = 60 / per_min if per_min else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Wait until a request may begin."""
        now = time.monotonic()
        self._next = max(self._next, now)
        begin, self._next = self._next, self._next + self._gap_s
        await asyncio.sleep(begin - now)


@dataclass(frozen=True, kw_only=True)
class Asker:
    """An endpoint, how answers are drawn, and the journal of those it gave."""

    endpoint: Endpoint
    sampling: Sampling
    journal: Journal

    def request(self, messages: Sequence[Message], *, number: int = 0) -> Request:
        """A request of this endpoint."""
        plain = tuple((message["role"], message["content"]) for message in messages)
        return Request(messages=plain, model=self.endpoint.model, sampling=self.sampling, number=number)

    def ask(self, requests: Sequence[Request], label: str) -> list[Answer]:
        """The answer to each request, in order; only what the journal does not know is asked.

        Raises ConfigError where the endpoint is wrong, RetryableError where it does not answer after all attempts.
        """
        todo = list({r.id: r for r in requests if self.journal.find(r) is None}.values())
        with Progress(label, total=len(requests), unit="answers") as progress:
            progress.advance(len(requests) - len(todo))
            if todo:
                asyncio.run(self._ask_all(deque(todo), progress))
        answers = [self.journal.find(request) for request in requests]
        return [answer for answer in answers if answer is not None]

    async def _ask_all(self, todo: deque[Request], progress: Progress) -> None:
        connected = load_backend("client", "httpx", CLIENTS, package="nemo-curator").connected
        pace = Pace(self.endpoint.max_requests_per_min)
        async with connected(self.endpoint) as client:
            workers = [
                asyncio.create_task(self._work(client, todo, pace, progress))
                for _ in range(min(self.endpoint.connections, len(todo)))
            ]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, client: Any, todo: deque[Request], pace: Pace, progress: Progress) -> None:
        while todo:
            request = todo.popleft()
            self.journal.add(request, await self._answer(client, request, pace))
            progress.advance()

    async def _answer(self, client: Any, request: Request, pace: Pace) -> Answer:
        """The answer to one request, asked again while the endpoint is busy or its answer broken."""
        reason = ""
        for attempt in range(self.endpoint.attempts):
            await pace.turn()
            outcome = understand(await client.post(request.body))
            if isinstance(outcome, Answer):
                return outcome
            if isinstance(outcome, Wrong):
                raise ConfigError(f"endpoint.base_url={self.endpoint.base_url}: {outcome.reason}")
            assert isinstance(outcome, Again)
            reason = outcome.reason
            if attempt + 1 < self.endpoint.attempts:
                await asyncio.sleep(wait_s(self.endpoint, attempt, outcome.wait_s))
        raise RetryableError(
            f"{self.endpoint.base_url}: {reason}, {self.endpoint.attempts} times in a row; what it has answered is in "
            f"{self.journal.path.name}: give the same command again to go on"
        )
