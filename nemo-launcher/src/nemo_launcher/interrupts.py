"""Signals that ask a run to stop, heard instead of died of."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def forwarded(heard: list[signal.Signals]) -> Iterator[None]:
    """While the block runs, append the signals that ask for an end to `heard` instead of dying of them."""

    def hear(number: int, _: FrameType | None) -> None:
        heard.append(signal.Signals(number))

    before = {number: signal.signal(number, hear) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
