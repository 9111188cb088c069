"""The files of a source, downloaded into a raw-web artifact."""

import contextlib
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from ..foundation.atomic import write_text
from ..foundation.errors import DiskFull, InputError, RetryableError
from ..foundation.progress import Progress
from ..foundation.settings import to_plain
from ..request import begun
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
    with begun(settings, kind="raw-web", config=config) as draft:
        listing = draft.path / LISTING
        if not listing.is_file():
            remotes = found(settings, source.list_files(settings, lambda url: get(client, url)))
            write_text(listing, json.dumps([asdict(remote) for remote in remotes], indent=1))
        remotes = [Remote(**entry) for entry in json.loads(listing.read_text(encoding="utf-8"))]
        own = getattr(source, "fetch", None)
        fetch = whole_files(own) if own else client.fetch
        with contextlib.closing(client):  # an interruption does not wait for files of gigabytes
            failed = fetch_all(fetch, remotes, draft.path / "data", connections=settings.download.connections)
        if len(failed) == len(remotes):
            raise InputError(
                f"source={settings.source}: none of its files could be had, e.g. {next(iter(failed.values()))}"
            )
        size = sum((draft.path / "data" / r.name).stat().st_size for r in remotes if r.url not in failed)
        draft.stats.update(files=len(remotes) - len(failed), bytes=size, failed=failed)
        listing.unlink()
        listing.parent.rmdir()
    return Acquired(output=settings.output, files=len(remotes) - len(failed), bytes=size, failed=failed)


def sort_out(error: BaseException | None, remote: Remote, failed: dict[str, str], later: list[str]) -> None:
    """Note why a file did not come; raise what concerns more than this file."""
    if isinstance(error, GoneError):
        failed[remote.url] = str(error)
    elif isinstance(error, RetryableError) and not isinstance(error, DiskFull):
        later.append(str(error))
    elif error is not None:
        raise error


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


def whole_files(fetch: Callable[[Remote, Path], object]) -> Callable[..., object]:
    """A source's own `fetch`, of which nothing is heard before a file is there."""

    def fetched(remote: Remote, folder: Path, *, arrived: Callable[[int], None]) -> None:
        fetch(remote, folder)
        arrived((folder / remote.name).stat().st_size)

    return fetched


def total_bytes(remotes: Sequence[Remote]) -> int | None:
    """Bytes of all files; None where a listing does not tell those of each."""
    sizes = [remote.num_bytes for remote in remotes if remote.num_bytes is not None]
    return sum(sizes) if len(sizes) == len(remotes) else None


class Arrivals:
    """Bytes of several downloads at once, told to one bar, with the files that have come."""

    def __init__(self, progress: Progress, *, files: int, done: int) -> None:
        self._progress, self._files, self._done, self._failed = progress, files, done, 0
        self._lock = threading.Lock()

    def arrived(self, num_bytes: int) -> None:
        """Some bytes of a file came."""
        with self._lock:
            failed = f", {self._failed} failed" if self._failed else ""
            self._progress.advance(num_bytes, note=f"{self._done} of {self._files} files{failed}")

    def ended(self, *, failed: int) -> None:
        """A file came, or will not."""
        with self._lock:
            self._done, self._failed = self._done + 1 - (failed - self._failed), failed
        self.arrived(0)


def fetch_all(
    fetch: Callable[..., object], remotes: Sequence[Remote], folder: Path, *, connections: int
) -> dict[str, str]:
    """Fetch what is not there yet, several at once; why not, by address, for the files that are not to be had."""
    failed: dict[str, str] = {}
    later: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    missing = [remote for remote in remotes if not (folder / remote.name).is_file()]
    threads = ThreadPoolExecutor(connections)
    there = sum((folder / remote.name).stat().st_size for remote in remotes if remote not in missing)
    with Progress("download", total=total_bytes(remotes), unit="B") as progress:
        arrivals = Arrivals(progress, files=len(remotes), done=len(remotes) - len(missing))
        arrivals.arrived(there)
        futures = {threads.submit(fetch, remote, folder, arrived=arrivals.arrived): remote for remote in missing}
        try:
            for future in as_completed(futures):
                sort_out(future.exception(), futures[future], failed, later)
                arrivals.ended(failed=len(failed) + len(later))
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
    if later:
        raise RetryableError(f"{len(later)} of {len(remotes)} files could not be fetched yet, e.g. {later[0]}")
    return dict(sorted(failed.items()))
