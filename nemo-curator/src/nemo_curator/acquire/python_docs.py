"""``nemo-curator acquire source=python-docs``: the documentation of the running Python as a raw-web artifact."""

import json
import platform
import queue
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..foundation.atomic import write_text
from ..foundation.errors import InputError
from ..foundation.progress import Progress
from ..request import begun
from ..shards.pool import Worker, WorkerDiedError, num_workers
from .modules import list_modules
from .render import TOPICS
from .result import Acquired
from .settings import Acquire

TARGET = "nemo_curator.acquire.render:render_shard"
MODULES_PER_SHARD = 40
ENVIRONMENT = {"PYTHONHASHSEED": "0", "BROWSER": "true", "DISPLAY": "", "PYTHONWARNINGS": "ignore"}


@dataclass(frozen=True)
class Shard:
    """Modules whose pages go into one WARC file."""

    number: int
    modules: Sequence[str]
    root: Path

    @property
    def data(self) -> Path:
        """The WARC file."""
        return self.root / "data" / f"pages-{self.number:05d}.warc.gz"

    @property
    def done(self) -> Path:
        """The file that says what the WARC file holds, written behind it."""
        return self.root / "work" / f"{self.number:05d}.json"


def run(settings: Acquire) -> Acquired:
    """Render every module, in several processes; finished shards are kept when the run is cut off."""
    modules, left_out = list_modules(settings.modules)
    if not modules:
        raise InputError(f"modules={settings.modules}: none of them is in this Python's standard library: {left_out}")
    config: dict[str, object] = {
        "source": settings.source,
        "modules": settings.modules,
        "python": platform.python_version(),
    }
    with begun(settings, kind="raw-web", config=config) as draft:
        shards = cut(modules, draft.path, topics=settings.modules is None)
        render_all(shards, workers=num_workers(settings.workers))
        results = [json.loads(shard.done.read_text(encoding="utf-8")) for shard in shards]
        shutil.rmtree(draft.path / "work")
        failed = {name: why for result in results for name, why in result["failed"].items()}
        pages = sum(result["pages"] for result in results)
        draft.stats.update(
            pages=pages,
            modules=len(modules) - len(failed),
            failed=failed,
            left_out=left_out,
            python=platform.python_version(),
        )
    return Acquired(output=settings.output, pages=pages, failed=failed)


def cut(modules: Sequence[str], root: Path, *, topics: bool) -> list[Shard]:
    """Modules dealt out to shards in order, the topics first."""
    names = [*([TOPICS] if topics else []), *modules]
    starts = range(0, len(names), MODULES_PER_SHARD)
    return [Shard(n, names[start : start + MODULES_PER_SHARD], root) for n, start in enumerate(starts)]


def render_all(shards: Sequence[Shard], *, workers: int) -> None:
    """Render the shards that are not done."""
    todo = [shard for shard in shards if not shard.done.is_file()]
    with Progress("acquire", total=len(shards), unit="shards") as progress:
        progress.advance(len(shards) - len(todo))
        threads = ThreadPoolExecutor(max(1, min(workers, len(todo))))
        stop: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        try:
            for future in as_completed([threads.submit(render_one, shard, stop) for shard in todo]):
                progress.advance(note=f"{future.result()} pages")
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            while not stop.empty():
                stop.get().close()


def render_one(shard: Shard, started: "queue.SimpleQueue[Worker]") -> int:
    """Render one shard in a process of its own, again without the modules that end that process."""
    note = shard.done.with_suffix(".module")
    crashed: list[str] = []
    while True:
        worker = Worker(ENVIRONMENT)
        started.put(worker)
        arguments = {"output": str(shard.data), "note": str(note), "modules": shard.modules, "crashed": crashed}
        try:
            result: dict[str, Any] = worker.call(TARGET, arguments)
        except WorkerDiedError:
            blamed = note.read_text(encoding="utf-8") if note.is_file() else ""
            if not blamed or blamed in crashed:
                raise
            crashed.append(blamed)
            continue
        finally:
            worker.close()
        write_text(shard.done, json.dumps(result))
        return int(result["pages"])
