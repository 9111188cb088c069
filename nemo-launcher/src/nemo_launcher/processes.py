"""Processes told apart for certain: a process id is reused, its start time is not."""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Identity:
    """A process id and when (in which boot) that process started."""

    pid: int
    started: str


def identify(pid: int) -> Identity:
    """The identity of process `pid`; `started` is "" where there is no such process."""
    return Identity(pid, started_at(pid))


def started_at(pid: int) -> str:
    """Boot and clock tick at which `pid` started, "" where it is gone or a zombie."""
    if not PROC.joinpath("self/stat").exists():
        shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip()
    try:
        stat = PROC.joinpath(str(pid), "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return ""
    boot = PROC.joinpath("sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return f"{boot}:{fields[19]}"


def is_alive(identity: Identity) -> bool:
    """True while the very process that was identified runs."""
    return identity.started != "" and started_at(identity.pid) == identity.started


def signal_group(pid: int, number: signal.Signals) -> bool:
    """Send a signal to the process group that `pid` leads; False where nothing of it is left."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def kill_marked(leader: int, marker: str) -> None:
    """Kill every process that has the environment entry `marker`; without /proc, the group that `leader` led."""
    if not PROC.joinpath("self/environ").exists():
        signal_group(leader, signal.SIGKILL)
        return
    for folder in PROC.glob("[0-9]*"):
        if has_entry(folder / "environ", marker.encode()):
            try:
                os.kill(int(folder.name), signal.SIGKILL)
            except ProcessLookupError:
                continue


def has_entry(environ: Path, entry: bytes) -> bool:
    """True where a process's environment, which one may only read of one's own, has `entry`."""
    try:
        return entry in environ.read_bytes().split(b"\0")
    except OSError:
        return False
