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

    asked = [number for number in STOP_SIGNALS if not (number == signal.SIGHUP and is_ignored(number))]
    before = {number: signal.signal(number, hear) for number in asked}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_ignored(number: signal.Signals) -> bool:
    """True where this process was started to ignore a signal, as nohup does."""
    return signal.getsignal(number) == signal.SIG_IGN
