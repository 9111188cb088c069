"""Runs one attempt of a stage and notes how it ended: ``python -I wrapper.py <attempt folder>``.

Standard library only, and alone in its file: it must start fast and outlive the launcher. It leads the session that
the stage runs in. `status.json` is created exclusively, so that an attempt is executed by one process or, once
abandoned, by none.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

EXIT_RETRY = 75


def started_at(pid: int) -> str:
    """As in nemo_launcher.processes, repeated here because this file imports nothing of the package."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip()
    return f"{boot}:{stat.rpartition(')')[2].split()[19]}"


def draft_of(folder: Path, status: dict[str, Any]) -> Path:
    """A synced file beside status.json that holds `status`."""
    draft = folder / f".status.{os.getpid()}"
    with open(draft, "w", encoding="utf-8") as handle:
        json.dump(status, handle)
        handle.flush()
        os.fsync(handle.fileno())
    return draft


def claim(folder: Path, status: dict[str, Any]) -> bool:
    """Create status.json whole; False where the attempt is taken or abandoned."""
    draft = draft_of(folder, status)
    try:
        os.link(draft, folder / "status.json")
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def execute(folder: Path, order: dict[str, Any]) -> int:
    """Run the stage with its output in files; its exit code, negative for a signal, 127 where it cannot start."""
    with open(folder / "stdout.log", "ab") as out, open(folder / "stderr.log", "ab") as err:
        try:
            child = subprocess.Popen(
                order["argv"],
                cwd=order["cwd"],
                env={**os.environ, **order["env"]},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        except OSError as error:
            err.write(f"cannot start {order['argv'][0]}: {error}\n".encode())
            return 127
    return child.wait()


def run(folder: Path) -> int:
    """Run the attempt; the exit code is the stage's, or 128 + the signal that ended it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # a handler, not SIG_IGN: the stage must start with the default
    order = json.loads((folder / "argv.json").read_text(encoding="utf-8"))
    me = os.getpid()
    status = {"state": "running", "pid": me, "started": started_at(me), "started_at": time.time()}
    if not claim(folder, status):
        return EXIT_RETRY
    code = execute(folder, order)
    ended = {
        "state": "ended",
        "ended_at": time.time(),
        "exit_code": code if code >= 0 else None,
        "signal": -code if code < 0 else None,
    }
    os.replace(draft_of(folder, {**status, **ended}), folder / "status.json")
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
