"""Calls spread over worker processes, each a Python of its own that dies with its caller.

Arguments and results travel as JSON; a script that uses the package needs no ``if __name__ == "__main__"``.
"""

import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Protocol

from ..foundation import errors
from ..foundation.command import resolve

Call = Mapping[str, Any]
TRIES = 3
WORKER_VARIABLE = "NEMO_CURATOR_WORKER"
"""Environment variable that holds the number of a worker process, from 0."""


class Spread(Protocol):
    """Where calls are spread to: worker processes of this machine, or a cluster."""

    def run(self, target: str, calls: Sequence[Call]) -> Iterator[Any]:
        """Results of ``module:function`` for all calls, in any order; every call is safe to make again."""


class WorkerDiedError(errors.RetryableError):
    """A worker process ended in the middle of a call."""


class Worker:
    """One worker process."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"{__package__}.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, **(environment or {})},
        )

    def call(self, target: str, arguments: Call) -> Any:
        """The result of ``module:function`` with these arguments, computed by the worker."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"target": target, "arguments": dict(arguments)}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except (BrokenPipeError, ValueError):  # ended by itself, or closed while this call waited
            line = ""
        if not line:
            raise WorkerDiedError(f"a worker process {ending(self.process.wait())} during {target} {dict(arguments)}")
        answer = json.loads(line)
        if "error" in answer:
            raise getattr(errors, answer["error"], RuntimeError)(answer["message"])
        return answer["result"]

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        self.process.wait()


def ending(code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory, perhaps: fewer workers need less)" if name == "SIGKILL" else ""
        return f"was ended by {name}{hint}"
    return f"ended with exit code {code}"


class Pool:
    """Workers started when there are calls for them, and ended with the block that the pool is used in."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._started: list[Worker] = []
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._closed = False

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        for worker in self._started:
            worker.close()

    def run(self, target: str, calls: Sequence[Call]) -> Iterator[Any]:
        """Results of all calls, as they come; with one worker in this process, in order."""
        if self._workers == 1 or (len(calls) <= 1 and not self._started):
            for arguments in calls:
                yield resolve(target)(**arguments)
            return
        self._start(min(self._workers, len(calls)))
        threads = ThreadPoolExecutor(len(self._started))
        futures = [threads.submit(self._one, target, arguments) for arguments in calls]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def _start(self, count: int) -> None:
        while len(self._started) < count:
            self._started.append(Worker({WORKER_VARIABLE: str(len(self._started))}))
            self._idle.put(self._started[-1])

    def _one(self, target: str, arguments: Call) -> Any:
        worker = self._idle.get()
        try:
            for _ in range(TRIES - 1):
                try:
                    return worker.call(target, arguments)
                except WorkerDiedError as error:
                    if self._closed:
                        raise
                    print(f"{error}; another takes over", file=sys.stderr)
                    worker = self._replace(worker)
            return worker.call(target, arguments)
        finally:
            self._idle.put(worker)

    def _replace(self, dead: Worker) -> Worker:
        dead.close()
        fresh = Worker()
        self._started[self._started.index(dead)] = fresh
        return fresh


def num_workers(wanted: int) -> int:
    """`wanted`, or one per core that this process may use."""
    if wanted:
        return wanted
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
