"""What every loop does around its updates: resume, log, save, stop when asked."""

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nemo_core.foundation import atomic
from nemo_core.foundation.errors import Preempted
from nemo_core.foundation.progress import Progress
from nemo_core.train.metrics import MetricsLog

from ..runtime.group import Group

Figures = dict[str, float]


@dataclass
class Stop:
    """Set by SIGTERM; the loop then saves and leaves."""

    is_wanted: bool = False


@contextlib.contextmanager
def stop_on_sigterm() -> Iterator[Stop]:
    """Turn SIGTERM into a wish to stop, for the time of the block (in the main thread, where signals arrive)."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(_number: int, _frame: object) -> None:
        stop.is_wanted = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True, kw_only=True)
class Course:
    """A run of `steps` updates of `policy`, kept in `folder` (which survives a kill)."""

    label: str
    folder: Path
    policy: Group
    steps: int
    save_every: int
    note: Callable[[Mapping[str, float]], str]

    @property
    def state(self) -> Path:
        """Where the run continues from."""
        return self.folder / "state"

    def resume(self) -> int:
        """Bring the policy to the last saved step and return how many steps it has behind it."""
        saved = self.state / "policy"
        return int(self.policy.one("load_state", saved).result()) if saved.is_dir() else 0

    def follow(self, start: int, advance: Callable[[int], Mapping[str, float]]) -> None:
        """Call `advance` for every step from `start`, logging what it returns. Raises Preempted after SIGTERM."""
        log = MetricsLog(self.folder)
        with stop_on_sigterm() as stop, Progress(self.label, total=self.steps, unit="steps") as progress:
            progress.advance(start)
            for step in range(start, self.steps):
                values = advance(step)
                log.log(step + 1, **values)
                progress.advance(note=self.note(values))
                if (step + 1) % self.save_every == 0 or stop.is_wanted or step + 1 == self.steps:
                    self.policy.one("save_state", self.state / "policy", step + 1).result()
                if stop.is_wanted and step + 1 < self.steps:
                    raise Preempted(f"stopped after step {step + 1} of {self.steps}; the same command continues there")

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        """The outcome of `measure`, kept on disk so that a resumed run does not measure again."""
        path = self.state / f"{name}.json"
        if not path.is_file():
            atomic.write_text(path, json.dumps(measure()))
        return json.loads(path.read_text(encoding="utf-8"))


@dataclass
class Stopwatch:
    """Seconds spent per phase of a step."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the block's time under `name`."""
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
