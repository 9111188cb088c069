"""Rate limits shared by all connections."""

import threading
import time
from collections.abc import Callable


class Limiter:
    """Lets `rate` units a second pass, with bursts of at most one second's worth; None lets everything pass."""

    def __init__(
        self,
        rate: float | None,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._now, self._sleep = rate, now, sleep
        self._free_at = now()
        self._lock = threading.Lock()

    def take(self, units: float) -> None:
        """Wait until `units` more may pass."""
        if self._rate is None:
            return
        with self._lock:
            begin = max(self._free_at, self._now() - 1.0)
            self._free_at = begin + units / self._rate
            wait = self._free_at - self._now()
        if wait > 0:
            self._sleep(wait)
