"""A server of our own in a subprocess: started on a free loopback port, stopped by its pid."""

import contextlib
import json
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nemo_core.foundation.errors import EXIT_USER, RetryableError, SuiteError, UserError

STOP_TIMEOUT_S = 30


@dataclass(frozen=True)
class Endpoint:
    """Where a running server answers."""

    url: str
    model: str


def command_line(model: Path, *words: str) -> list[str]:
    """What starts a server on a free port."""
    return [sys.executable, "-m", "nemo_deploy", "serve", str(model), "port=0", "end_with_stdin=true", *words]


@contextlib.contextmanager
def serving(model: Path, *words: str, timeout_s: float) -> Iterator[Endpoint]:
    """A ready server for the time of the block. Raises what the server says where it does not come up."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command_line(model, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
        try:
            yield await_ready(process, log, timeout_s=timeout_s)
        finally:
            stop(process)


def await_ready(process: "subprocess.Popen[bytes]", log: IO[str], *, timeout_s: float) -> Endpoint:
    """The address that the server announces on its standard output."""
    line = first_line(process, timeout_s=timeout_s)
    if line:
        said = json.loads(line)
        return Endpoint(said["url"], said["model"])
    code = process.poll()
    if code is None:
        raise RetryableError(f"the server was not ready after {timeout_s:.0f} s (start_timeout_s)")
    log.seek(0)
    message = log.read().strip().removeprefix("nemo-deploy: error: ") or f"the server ended with exit code {code}"
    raise (UserError if code == EXIT_USER else SuiteError)(message)


def first_line(process: "subprocess.Popen[bytes]", *, timeout_s: float) -> bytes:
    """The first line a process prints; empty where it ends or says nothing in time."""
    assert process.stdout is not None
    deadline, found = time.monotonic() + timeout_s, b""
    while not found.endswith(b"\n"):
        if not select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return b""
        piece = process.stdout.read1(65536)  # type: ignore[attr-defined]
        if not piece:
            process.wait()
            return b""
        found += piece
    return found


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask the process to end, and end it where it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def joined(words: Sequence[str]) -> str:
    """A command line to copy into a shell."""
    import shlex

    return shlex.join(words)
