"""The thread that drives an engine, and the bridge between it and the event loop.

The life of a request: a handler calls `submit` on the event loop and gets a mailbox; the order goes through a
thread-safe queue; the thread adds it to the engine and steps; the deltas of one step travel back in one
`call_soon_threadsafe`, however many requests they belong to.
"""

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal

from nemo_core.foundation.errors import SuiteError, UserError

from .mailbox import EngineFailed, Mailbox
from .protocol import Delta, Engine, GenerateRequest, LoadedModel, TokenLogprob

State = Literal["loading", "ready", "failed", "stopped"]


class QueueFull(SuiteError):
    """More requests wait than the server keeps."""


@dataclass(frozen=True, slots=True)
class Add:
    """Order: queue these requests in the engine."""

    requests: Sequence[GenerateRequest]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Order: forget these requests."""

    ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Score:
    """Order: log-probabilities of a prompt."""

    prompt_ids: Sequence[int]
    top: int
    answer: "Future[list[TokenLogprob]]"


@dataclass(frozen=True, slots=True)
class Stop:
    """Order: end the thread."""


Order = Add | Cancel | Score | Stop


class EngineRunner:
    """Owns the engine thread. Every public method belongs to the event loop's thread."""

    def __init__(
        self, load: Callable[[], LoadedModel], *, max_queue: int, on_change: Callable[[State], None] = lambda _: None
    ) -> None:
        self.state: State = "loading"
        self.model: LoadedModel | None = None
        self.error: BaseException | None = None
        self.max_queue = max_queue
        self._load = load
        self._on_change = on_change
        self._ids = itertools.count(1)
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._mailboxes: dict[int, Mailbox] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)

    @property
    def num_pending(self) -> int:
        """Requests that have not ended."""
        return len(self._mailboxes)

    @property
    def num_running(self) -> int:
        """Requests that hold a slot."""
        return self.model.engine.num_running if self.model else 0

    def start(self) -> None:
        """Load the model in the background and begin to answer."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its current step."""
        self._orders.put(Stop())
        self._thread.join()

    def next_ids(self, count: int) -> list[int]:
        """Fresh request ids."""
        return list(itertools.islice(self._ids, count))

    def submit(self, requests: Sequence[GenerateRequest]) -> Mailbox:
        """Queue requests that belong to one answer. Raises QueueFull beyond the slots and `max_queue`."""
        slots = self.model.engine.max_slots if self.model else 0
        if self.num_pending + len(requests) > slots + self.max_queue:
            raise QueueFull(f"{self.num_pending} requests are running or waiting, of {slots + self.max_queue} at most")
        mailbox = Mailbox([request.id for request in requests], self._cancel)
        self._mailboxes.update(dict.fromkeys(mailbox.index_of, mailbox))
        self._orders.put(Add(requests))
        return mailbox

    async def score(self, prompt_ids: Sequence[int], *, top: int) -> list[TokenLogprob]:
        """Log-probabilities of a prompt's tokens after the first."""
        answer: Future[list[TokenLogprob]] = Future()
        self._orders.put(Score(prompt_ids, top, answer))
        return await asyncio.wrap_future(answer)

    def _cancel(self, ids: Sequence[int]) -> None:
        for request_id in ids:
            self._mailboxes.pop(request_id, None)
        self._orders.put(Cancel(ids))

    def _work(self) -> None:
        try:
            self.model = self._load()
            self._tell(self._enter, "ready", None)
            self._serve(self.model.engine)
        except Exception as error:  # noqa: BLE001 - whatever broke must reach every waiting request and the main thread
            self._tell(self._enter, "failed", error)
            for order in self._take(wait=False):
                if isinstance(order, Score):
                    order.answer.set_exception(error)

    def _serve(self, engine: Engine) -> None:
        while True:
            for order in self._take(wait=not engine.has_work):
                if isinstance(order, Stop):
                    return
                self._obey(engine, order)
            if engine.has_work:
                deltas = engine.step()
                if deltas:
                    self._tell(self._distribute, deltas)

    def _take(self, *, wait: bool) -> list[Order]:
        orders = [self._orders.get()] if wait else []
        while not self._orders.empty():
            orders.append(self._orders.get_nowait())
        return orders

    def _obey(self, engine: Engine, order: Add | Cancel | Score) -> None:
        match order:
            case Add(requests):
                for request in requests:
                    self._add(engine, request)
            case Cancel(ids):
                for request_id in ids:
                    engine.cancel(request_id)
            case Score(answer=answer) if answer.set_running_or_notify_cancel():
                self._score(engine, order)

    def _add(self, engine: Engine, request: GenerateRequest) -> None:
        try:
            engine.add(request)
        except UserError as error:
            self._tell(self._refuse, request.id, error)

    def _score(self, engine: Engine, order: Score) -> None:
        try:
            order.answer.set_result(engine.score(order.prompt_ids, top=order.top))
        except Exception as error:
            order.answer.set_exception(error)
            raise

    def _tell(self, call: Callable[..., None], *values: object) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *values)

    def _distribute(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            mailbox = self._mailboxes.get(delta.id)
            if mailbox is None:
                continue
            if delta.finish_reason is not None:
                del self._mailboxes[delta.id]
            mailbox.put(delta)

    def _refuse(self, request_id: int, error: SuiteError) -> None:
        mailbox = self._mailboxes.pop(request_id, None)
        if mailbox is not None:
            mailbox.close()
            mailbox.fail(error)

    def _enter(self, state: State, error: BaseException | None) -> None:
        self.state, self.error = state, error
        if error is not None:
            broken = EngineFailed(f"the engine failed: {type(error).__name__}: {error}")
            for mailbox in set(self._mailboxes.values()):
                mailbox.fail(broken)
            self._mailboxes.clear()
        self._on_change(state)
