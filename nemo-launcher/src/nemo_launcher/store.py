"""The run folder: where everything of a run is, read and written through small typed calls."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from .foundation import atomic
from .foundation.errors import ArtifactError, UserError
from .foundation.settings import did_you_mean
from .plan import Plan
from .processes import Identity, identify, is_alive


@dataclass(frozen=True)
class RunFolder:
    """Paths inside ``runs/<name>/``."""

    path: Path

    @property
    def journal(self) -> Path:
        """The append-only record of what happened."""
        return self.path / "journal.jsonl"

    @property
    def plan(self) -> Path:
        """The plan being executed."""
        return self.path / "plan.json"

    def artifact(self, stage: str) -> Path:
        """Where a stage's output is."""
        return self.path / "artifacts" / stage

    def attempt(self, stage: str, number: int) -> Path:
        """Files of one execution of a stage."""
        return self.path / "stages" / stage / f"attempt-{number}"

    def last_attempt(self, stage: str) -> int:
        """Number of the latest attempt that has a folder, 0 where there is none."""
        folders = (self.path / "stages" / stage).glob("attempt-*")
        return max((int(folder.name.removeprefix("attempt-")) for folder in folders), default=0)

    def read_plan(self) -> Plan:
        """The stored plan. Raises ArtifactError where it is absent or damaged."""
        try:
            return msgspec.json.decode(self.plan.read_bytes(), type=Plan)
        except FileNotFoundError:
            raise ArtifactError(
                f"{self.path}: no run is here (no plan.json); start one with nemo-launcher run"
            ) from None
        except msgspec.DecodeError as error:
            raise ArtifactError(f"{self.plan}: damaged ({error}); run the workflow again to write it anew") from None

    def write_plan(self, plan: Plan) -> None:
        """Store the plan atomically."""
        atomic.write_bytes(self.plan, msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n")

    def holder(self) -> Identity | None:
        """The live launcher that holds this run, if any."""
        noted = read_json(self.path / ".lock")
        if not noted:
            return None
        identity = Identity(pid=int(noted["pid"]), started=str(noted["started"]))
        return identity if is_alive(identity) else None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run; UserError where another launcher does."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "a+", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(self.held_by()) from None
            lock.truncate(0)
            me = identify(os.getpid())
            with atomic.explain_disk_full(self.path):
                lock.write(json.dumps({"pid": me.pid, "started": me.started}))
                lock.flush()
            yield
            lock.truncate(0)

    def held_by(self) -> str:
        """The message for a run that another launcher executes."""
        holder = self.holder()
        who = f"process {holder.pid}" if holder else "another process"
        return (
            f"{self.path}: {who} is running this already; watch it with 'nemo-launcher status {self.path}', "
            f"stop it with 'nemo-launcher cancel {self.path}', or give this run another folder with run_dir=..."
        )


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON file; {} where it is absent or torn."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def find_run(name: str | None, cwd: Path) -> RunFolder:
    """The run called `name` (a folder, or a name under ``runs/``); without a name, the latest under ``runs/``."""
    runs = cwd / "runs"
    known = {p.parent.name: p for p in runs.glob("*/plan.json")}
    if name is None:
        if not known:
            raise UserError(
                f"{runs}: no runs are here; start one with 'nemo-launcher run workflow.yaml', or name its folder"
            )
        return RunFolder(max(known.values(), key=last_change).parent)
    for folder in (cwd / Path(name).expanduser(), runs / name):
        if (folder / "plan.json").is_file():
            return RunFolder(folder)
    raise UserError(f"{name}: no such run{did_you_mean(name, known)} (runs here: {', '.join(sorted(known)) or 'none'})")


def last_change(plan: Path) -> float:
    """When something last happened in the run that `plan` belongs to."""
    journal = plan.with_name("journal.jsonl")
    return (journal if journal.is_file() else plan).stat().st_mtime
