"""A word to the person who waits while kernels are compiled, which happens once after an installation."""

import os
import sys
from typing import Any

from numba.core import event

from ..shards.pool import WORKER_VARIABLE

NOTICE = "compiling kernels; this happens once, later runs take them from numba's cache"


class Notice(event.Listener):
    """Writes one line to stderr when the first kernel that is in no cache is compiled."""

    def on_start(self, event: Any) -> None:
        """Say so, then no more."""
        print(NOTICE, file=sys.stderr, flush=True)
        uninstall()

    def on_end(self, event: Any) -> None:
        """Nothing is left to say."""


LISTENER = Notice()
EVENT = "numba:compile"


def install() -> None:
    """Listen, but in one of several worker processes only: they all compile the same."""
    if os.environ.get(WORKER_VARIABLE, "0") == "0":
        event.register(EVENT, LISTENER)  # type: ignore[no-untyped-call]


def uninstall() -> None:
    """Listen no more."""
    event.unregister(EVENT, LISTENER)  # type: ignore[no-untyped-call]
