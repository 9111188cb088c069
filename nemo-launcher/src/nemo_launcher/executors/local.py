"""Stages as processes of this machine, each in a session of its own that outlives the launcher."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ..foundation.progress import FILE_VARIABLE
from ..processes import Identity, is_alive, kill_marked, signal_group
from ..store import read_json

WRAPPER = Path(__file__).with_name("wrapper.py")


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How an attempt ended; both None where nobody saw it (the machine or the wrapper went down)."""

    exit_code: int | None
    signal: int | None
    seconds: float


@dataclass
class Running:
    """An attempt that runs: its folder, its process group, and the child handle where this launcher started it."""

    folder: Path
    identity: Identity
    child: subprocess.Popen[bytes] | None


class LocalExecutor:
    """Starts attempts, takes over those of a launcher that died, and reports which ended."""

    def __init__(self) -> None:
        self.running: dict[str, Running] = {}

    def start(self, stage: str, folder: Path) -> None:
        """Start the attempt that `folder`'s argv.json describes."""
        errors = open(folder / "stderr.log", "ab")  # noqa: SIM115 - handed to the child, closed just below
        with errors:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(WRAPPER), str(folder)],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        self.running[stage] = Running(folder, Identity(child.pid, ""), child)

    def adopt(self, stage: str, folder: Path) -> bool:
        """Take over an attempt that still runs; False where it does not."""
        identity = running_process(folder)
        if identity is None:
            return False
        self.running[stage] = Running(folder, identity, None)
        return True

    def ended(self) -> dict[str, Exit]:
        """The attempts that ended since the last call."""
        found = {}
        for stage, attempt in list(self.running.items()):
            if not alive(attempt):
                kill_leftovers(attempt.identity.pid, attempt.folder)
                found[stage] = exit_of(attempt.folder, attempt.child)
                del self.running[stage]
        return found

    def send(self, stage: str, number: signal.Signals) -> None:
        """Send a signal to everything that belongs to a stage."""
        attempt = self.running.get(stage)
        if attempt is not None:
            signal_group(attempt.identity.pid, number)


def alive(attempt: Running) -> bool:
    """True while the attempt's wrapper runs."""
    return attempt.child.poll() is None if attempt.child is not None else is_alive(attempt.identity)


def exit_of(folder: Path, child: "subprocess.Popen[bytes] | None" = None) -> Exit:
    """How an attempt ended, from its status.json, else from its wrapper's exit code (no room for a status)."""
    status = read_json(folder / "status.json")
    if status.get("state") == "ended":
        seconds = float(status["ended_at"]) - float(status["started_at"])
        return Exit(exit_code=status["exit_code"], signal=status["signal"], seconds=round(seconds, 3))
    seconds = round(time.time() - float(status["started_at"]), 3) if "started_at" in status else 0.0
    code = child.returncode if child is not None else None
    if code is None or code < 0 or code > 128:
        number = None if code is None else (-code if code < 0 else code - 128)
        return Exit(exit_code=None, signal=number or signal.SIGKILL, seconds=seconds)
    return Exit(exit_code=code, signal=None, seconds=seconds)


def running_process(folder: Path) -> Identity | None:
    """The wrapper of an attempt that still runs.

    An attempt that nobody claimed is abandoned here, atomically, so that a wrapper which starts late runs nothing.
    """
    if abandon(folder):
        return None
    status = read_json(folder / "status.json")
    if status.get("state") != "running":
        return None
    identity = Identity(int(status["pid"]), str(status["started"]))
    if is_alive(identity):
        return identity
    kill_leftovers(identity.pid, folder)
    return None


def abandon(folder: Path) -> bool:
    """Claim an attempt that no wrapper has claimed, so that none will; False where one had."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".abandoned.{os.getpid()}"
    draft.write_text('{"state": "abandoned"}', encoding="utf-8")
    try:
        os.link(draft, folder / "status.json")
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def progress_file(folder: Path) -> Path:
    """Where an attempt writes its progress; every process of the attempt has this path in its environment."""
    return folder / "progress.json"


def kill_leftovers(leader: int, folder: Path) -> None:
    """Kill what an attempt's wrapper left behind, and nothing else."""
    kill_marked(leader, f"{FILE_VARIABLE}={progress_file(folder)}")


def machine_room() -> tuple[int, float, int]:
    """Processors, memory in GiB and NVIDIA GPUs of this machine."""
    from ..foundation.doctor import memory_gib

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpus = len(list(Path("/dev").glob("nvidia[0-9]*"))) if shutil.which("nvidia-smi") else 0
    return cpus, memory_gib(), gpus
