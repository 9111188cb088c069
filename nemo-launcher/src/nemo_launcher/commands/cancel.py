"""``nemo-launcher cancel``: stop a run, whether or not its launcher still lives."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from ..executors.local import LocalExecutor
from ..foundation.errors import RetryableError
from ..journal import histories, read_events
from ..settings import RunReference
from ..store import RunFolder, find_run

POLL_S = 0.05
EXTRA_S = 10.0


def run(settings: RunReference) -> dict[str, Any]:
    """Ask the launcher to stop, or stop the stages that a dead launcher left running."""
    folder = find_run(settings.run, Path.cwd())
    grace_s = folder.read_plan().grace_s
    launcher = folder.holder()
    if launcher is not None:
        os.kill(launcher.pid, signal.SIGTERM)
        wait_until(lambda: folder.holder() is None, grace_s + EXTRA_S, f"process {launcher.pid} has not ended yet")
        return {"run": str(folder.path), "stopped": f"launcher {launcher.pid} and its stages"}
    with folder.locked():
        return {"run": str(folder.path), "stopped": stop_orphans(folder, grace_s)}


def stop_orphans(folder: RunFolder, grace_s: float) -> list[str]:
    """End stages that outlived their launcher; their names."""
    executor = LocalExecutor()
    past = histories(read_events(folder.journal))
    names = [n for n, h in past.items() if h.open and executor.adopt(n, folder.attempt(n, h.attempt))]
    for name in names:
        executor.send(name, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while executor.running:
        executor.ended()
        if time.monotonic() > deadline:
            for name in list(executor.running):
                executor.send(name, signal.SIGKILL)
        time.sleep(POLL_S)
    return names


def wait_until(condition: Any, timeout_s: float, otherwise: str) -> None:
    """Wait for `condition`; RetryableError with `otherwise` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise RetryableError(f"{otherwise}; ask again, or look with 'nemo-launcher status'")
        time.sleep(POLL_S)
