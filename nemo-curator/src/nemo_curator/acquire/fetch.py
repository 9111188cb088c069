"""The files of a source, downloaded into a raw-web artifact."""

import json
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from ..foundation import artifact
from ..foundation.atomic import write_text
from ..foundation.errors import DiskFull, InputError, RetryableError
from ..foundation.progress import Progress
from ..foundation.settings import to_plain
from .download.http import Client
from .download.remote import GoneError, Remote
from .result import Acquired
from .settings import Acquire
from .sources import find_source

LISTING = "work/listing.json"


def run(settings: Acquire) -> Acquired:
    """List what the source has and download it; files that have come are kept when the run is cut off.

    Files that the server does not have, or that are not what the listing promises, are counted and named in the
    artifact. Raises RetryableError where the others could not all be fetched, InputError where none could.
    """
    source = find_source(settings.source)
    client = Client(settings.download)
    config = to_plain(settings)
    config.pop("download")
    with artifact.create(
        settings.output, kind="raw-web", package="nemo-curator", config=config, overwrite=settings.overwrite
    ) as draft:
        listing = draft.path / LISTING
        if not listing.is_file():
            remotes = found(settings, source.list_files(settings, lambda url: get(client, url)))
            write_text(listing, json.dumps([asdict(remote) for remote in remotes], indent=1))
        remotes = [Remote(**entry) for entry in json.loads(listing.read_text(encoding="utf-8"))]
        failed = fetch_all(client, remotes, draft.path / "data")
        if len(failed) == len(remotes):
            raise InputError(f"source={settings.source}: none of its files could be had, e.g. {next(iter(failed.values()))}")
        size = sum((draft.path / "data" / r.name).stat().st_size for r in remotes if r.url not in failed)
        draft.stats.update(files=len(remotes) - len(failed), bytes=size, failed=failed)
        listing.unlink()
        listing.parent.rmdir()
    return Acquired(output=settings.output, files=len(remotes) - len(failed), bytes=size, failed=failed)


def get(client: Client, url: str) -> bytes:
    """A listing; InputError where the server has none."""
    try:
        return client.get(url)
    except GoneError as error:
        raise InputError(str(error)) from None


def found(settings: Acquire, remotes: Sequence[Remote]) -> list[Remote]:
    """The files to fetch. Raises InputError where there is none."""
    if not remotes:
        raise InputError(f"source={settings.source}: lists no file for these settings")
    return list(remotes[: settings.limit])


def fetch_all(client: Client, remotes: Sequence[Remote], folder: Path) -> dict[str, str]:
    """Download what is not there yet, several at once; why not, by address, for the files that are not to be had."""
    failed: dict[str, str] = {}
    later: list[str] = []
    pieces: queue.SimpleQueue[int] = queue.SimpleQueue()
    stop = threading.Event()

    def arrived(count: int) -> None:
        if stop.is_set():
            raise InterruptedError
        pieces.put(count)

    threads = ThreadPoolExecutor(client.settings.connections)
    with Progress("download", total=len(remotes), unit="files") as progress:
        received = 0
        futures = {threads.submit(client.fetch, remote, folder, arrived=arrived): remote for remote in remotes}
        try:
            for future in as_completed(futures):
                error = future.exception()
                if isinstance(error, GoneError):
                    failed[futures[future].url] = str(error)
                elif isinstance(error, RetryableError) and not isinstance(error, DiskFull):
                    later.append(str(error))
                elif error is not None:
                    raise error
                while not pieces.empty():
                    received += pieces.get()
                progress.advance(note=f"{received / 1e6:.0f} MB, {len(failed) + len(later)} failed")
        finally:
            stop.set()
            threads.shutdown(wait=False, cancel_futures=True)
    if later:
        raise RetryableError(f"{len(later)} of {len(remotes)} files could not be fetched yet, e.g. {later[0]}")
    return dict(sorted(failed.items()))
