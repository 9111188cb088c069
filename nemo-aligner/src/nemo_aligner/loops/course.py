"""What every loop does around its updates: resume, log, save, stop when asked."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nemo_core.checkpoint.state import has_state
from nemo_core.foundation import atomic
from nemo_core.foundation.progress import Progress
from nemo_core.train.metrics import MetricsLog
from nemo_core.train.recovery import StopRequest

from ..runtime.group import Group

Figures = dict[str, float]


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
        return int(self.policy.one("load_state", saved).result()) if has_state(saved) else 0

    def follow(self, start: int, advance: Callable[[int], Mapping[str, float]]) -> None:
        """Call `advance` for every step from `start`, logging what it returns.

        Raises Preempted after SIGTERM and KeyboardInterrupt after Ctrl-C, once the state is saved.
        """
        with (
            MetricsLog(self.folder, resumed_at=start) as log,
            StopRequest() as stop,
            Progress(self.label, total=self.steps, unit="steps") as progress,
        ):
            progress.advance(start)
            for step in range(start, self.steps):
                values = advance(step)
                log.log(step + 1, **values)
                progress.advance(note=self.note(values))
                if self.is_due(step + 1) or stop.asked:
                    self.policy.one("save_state", self.state / "policy", step + 1).result()
                if stop.asked:
                    stop.obey(saved_at=step + 1)

    def is_due(self, step: int) -> bool:
        """Whether the state is saved after `step` steps."""
        return step % self.save_every == 0 or step == self.steps

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
