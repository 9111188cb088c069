"""Run a server: check, bind, load, announce, answer, drain."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from nemo_core.foundation import artifact
from nemo_core.foundation.errors import ArtifactError, SuiteError

from ..engines.protocol import LoadedModel
from ..engines.runner import EngineRunner, State
from .app import build_app
from .auth import check_exposure, read_keys
from .listen import bind, url_of
from .service import Service
from .settings import ServeSettings

Loader = Callable[[], LoadedModel]
Announce = Callable[[str, str], None]


class ServerFailed(SuiteError):
    """The engine broke; a supervisor should start the server again."""


class Server(uvicorn.Server):
    """A uvicorn server that ends with exit code 0 when it is asked to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Begin to drain at the first SIGINT or SIGTERM, and drop what still runs at the second."""
        previous = {}
        with contextlib.suppress(
            ValueError
        ):  # only the main thread may set handlers; others are stopped by their owner
            for number in (signal.SIGINT, signal.SIGTERM):
                previous[number] = signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: object) -> None:
        """Drain, or stop at once where draining has begun."""
        self.force_exit = self.should_exit
        self.should_exit = True


def run(settings: ServeSettings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises UserError before anything is loaded where that cannot work."""
    if settings.end_with_stdin:
        threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    prepare(settings, announce=announce).serve()


def stop_at_end_of_input() -> None:
    """Ask this process to stop once whoever started it is gone, however it went."""
    while sys.stdin.buffer.read(65536):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def in_background(settings: ServeSettings, load: Loader | None = None) -> Iterator[str]:
    """Serve in a thread while the block runs, and give the URL once the model is ready; for notebooks and tests.

    `load` replaces the embedded engine by one of your own. Raises what keeps the server from coming up.
    """
    up: Future[str] = Future()
    prepared = prepare(settings, load, announce=lambda url, _: up.set_result(url))
    with ThreadPoolExecutor(1, thread_name_prefix="server") as pool:
        done = pool.submit(prepared.serve)
        try:
            await_first(up, done)
            yield up.result()
        finally:
            prepared.server.should_exit = True
            prepared.server.force_exit = True
        done.result()


def await_first(up: "Future[str]", done: "Future[None]") -> None:
    """Wait until the server is up. Raises what it ended with where it never was."""
    waiting: set[Future[Any]] = {up, done}
    wait(waiting, return_when=FIRST_COMPLETED)
    if not up.done():
        done.result()
        raise ServerFailed("the server ended before it was ready")


def check_folder(folder: Path) -> None:
    """Raise ArtifactError unless `folder` is a sound artifact with a model, or a Hugging Face folder."""
    if (folder / artifact.MANIFEST).is_file():
        artifact.read(folder, ("exported", "checkpoint"))
    elif not folder.is_dir():
        raise ArtifactError(f"model={folder}: no such folder; give one that holds config.json and model.safetensors")
    elif not (folder / "config.json").is_file():
        raise ArtifactError(f"model={folder}: holds no config.json, so it is no Hugging Face model folder")


def loader(settings: ServeSettings) -> Loader:
    """What loads the embedded engine, in the engine's thread."""

    def load() -> LoadedModel:
        from ..engines.torch import load as load_engine

        return load_engine(
            settings.model,
            device=settings.device,
            dtype=settings.dtype,
            max_slots=settings.max_slots,
            max_length=settings.max_length,
            threads=settings.threads,
        )

    return load


@dataclass(frozen=True)
class Prepared:
    """A server and its engine's thread, neither started."""

    server: Server
    runner: EngineRunner
    listener: socket.socket

    def serve(self) -> None:
        """Answer until asked to stop. Raises what the engine failed with, if it did."""
        asyncio.run(drive(self.server, self.runner, self.listener))
        if isinstance(self.runner.error, SuiteError):
            raise self.runner.error
        if self.runner.error is not None:
            raise ServerFailed(f"the engine failed: {self.runner.error}") from self.runner.error


def prepare(settings: ServeSettings, load: Loader | None = None, *, announce: Announce) -> Prepared:
    """Check everything that can be checked without the model, and bind. Raises UserError."""
    keys = read_keys(settings)
    check_exposure(settings, keys)
    if load is None:
        check_folder(settings.model)
    listener = bind(settings.host, settings.port)
    model_name = settings.served_model_name or settings.model.resolve().name
    server = build_server(settings)

    def on_change(state: State) -> None:
        if state == "ready":
            announce(url_of(listener), model_name)
        server.should_exit = server.should_exit or state == "failed"

    runner = EngineRunner(load or loader(settings), max_queue=settings.max_queue, on_change=on_change)
    service = Service(model_name=model_name, runner=runner, max_body_bytes=settings.max_body_bytes)
    server.config.app = build_app(service, keys)
    return Prepared(server, runner, listener)


async def drive(server: Server, runner: EngineRunner, listener: socket.socket) -> None:
    """Start the engine's thread and the server, and end both."""
    runner.start()
    try:
        await server.serve(sockets=[listener])
    finally:
        await asyncio.to_thread(runner.stop)


def build_server(settings: ServeSettings) -> Server:
    """A server that logs warnings only; its application is set before it starts."""
    config = uvicorn.Config(
        app=lambda: None,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=settings.drain_s,
        timeout_keep_alive=15,
    )
    return Server(config)


def announce(url: str, model: str) -> None:
    """Print the one line that says where to go: a sentence on a terminal, JSON elsewhere."""
    if sys.stdout.isatty():
        print(f"{model} answers at {url} (chat page) and {url}/v1 (OpenAI API); Ctrl-C stops it", flush=True)
    else:
        print(json.dumps({"ready": True, "url": url, "model": model, "pid": os.getpid()}), flush=True)
