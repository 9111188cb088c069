"""The files of a source, downloaded into a raw-web artifact."""

import contextlib
import json
from collections.abc import Callable, Sequence
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
        fetch = getattr(source, "fetch", client.fetch)
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


def fetch_all(
    fetch: Callable[..., object], remotes: Sequence[Remote], folder: Path, *, connections: int
) -> dict[str, str]:
    """Fetch what is not there yet, several at once; why not, by address, for the files that are not to be had."""
    failed: dict[str, str] = {}
    later: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    missing = [remote for remote in remotes if not (folder / remote.name).is_file()]
    threads = ThreadPoolExecutor(connections)
    with Progress("download", total=len(remotes), unit="files") as progress:
        progress.advance(len(remotes) - len(missing))
        futures = {threads.submit(fetch, remote, folder): remote for remote in missing}
        try:
            for future in as_completed(futures):
                sort_out(future.exception(), futures[future], failed, later)
                progress.advance(note=f"{len(failed) + len(later)} failed")
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
    if later:
        raise RetryableError(f"{len(later)} of {len(remotes)} files could not be fetched yet, e.g. {later[0]}")
    return dict(sorted(failed.items()))
