"""One file over HTTP, in as many tries as it takes; a try goes on where the last one stopped."""

import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from urllib3.exceptions import HTTPError

from ...foundation import atomic
from ...foundation.errors import RetryableError
from .limiter import Limiter
from .remote import GoneError, Remote
from .settings import Download

CHUNK = 1 << 18
Result = TypeVar("Result")
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class TryAgainError(Exception):
    """This try failed; the next one may succeed. `wait_s` is what the server asked for."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class MismatchError(TryAgainError):
    """The content is not what the listing promises."""


@dataclass
class Client:
    """A pool of connections with the limits of `settings`; `close` ends what runs in other threads."""

    settings: Download
    sleep: Callable[[float], object] | None = None
    pool: Any = field(init=False)

    def __post_init__(self) -> None:
        self.closed = threading.Event()
        self.sleep = self.sleep or self.closed.wait
        timeout = urllib3.Timeout(connect=self.settings.timeout_s, read=self.settings.timeout_s)
        self.pool = urllib3.PoolManager(maxsize=self.settings.connections, timeout=timeout, retries=False)
        self.bytes = Limiter(self.settings.max_bytes_per_s)
        self.requests = Limiter(self.settings.max_requests_per_s)

    def close(self) -> None:
        """Make every download under way raise InterruptedError with its next piece, and every wait end."""
        self.closed.set()

    def get(self, url: str) -> bytes:
        """A small file, such as a listing. Raises GoneError, or RetryableError after the last try."""
        return self.persist(url, lambda: self._get(url))

    def fetch(self, remote: Remote, folder: Path, *, arrived: Callable[[int], None] = lambda _: None) -> Path:
        """Download `remote` into `folder`; `arrived` hears of every piece's bytes.

        Raises GoneError where the server has no such file or its content is not what was promised, RetryableError
        after the last try, DiskFull.
        """
        final = folder / remote.name
        if not final.is_file():
            final.parent.mkdir(parents=True, exist_ok=True)
            self.persist(remote.url, lambda: self._fetch(remote, final, arrived))
        return final

    def persist(self, url: str, attempt: Callable[[], Result]) -> Result:
        """The result of `attempt`, tried again while it may succeed."""
        for number in range(1, self.settings.attempts + 1):
            try:
                self.requests.take(1)
                return attempt()
            except (TryAgainError, HTTPError, ConnectionError, TimeoutError) as error:
                if number == self.settings.attempts and isinstance(error, MismatchError):
                    raise GoneError(str(error)) from None
                if number == self.settings.attempts:
                    raise RetryableError(
                        f"{url}: {error} (tried {number} times); run the same command again to go on"
                    ) from None
                assert self.sleep is not None
                self.sleep(self.wait(number, getattr(error, "wait_s", None)))
        raise AssertionError("attempts is at least 1")

    def wait(self, number: int, asked: float | None) -> float:
        """Seconds to wait after the `number`-th failure."""
        doubled: float = self.settings.backoff_s * 2 ** (number - 1)
        return min(self.settings.max_wait_s, max(doubled, asked or 0.0))

    def _request(self, url: str, headers: dict[str, str]) -> Any:
        response = self.pool.request(
            "GET",
            url,
            headers={"User-Agent": self.settings.user_agent, "Accept-Encoding": "identity", **headers},
            preload_content=False,
            redirect=True,
            retries=urllib3.Retry(total=5, connect=0, read=0, redirect=5, respect_retry_after_header=False),
        )
        if response.status in TRANSIENT:
            response.close()  # what is unread would be taken for the answer to the connection's next request
            raise TryAgainError(f"answers {status_text(response.status)}", retry_after(response.headers))
        if response.status >= 400 and response.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            response.close()
            raise GoneError(f"{url}: answers {status_text(response.status)}")
        return response

    def _get(self, url: str) -> bytes:
        response = self._request(url, {})
        body: bytes = response.read()
        check_length(response, len(body))
        return body

    def _fetch(self, remote: Remote, final: Path, arrived: Callable[[int], None]) -> None:
        draft = final.with_name(f".{final.name}.download")
        note = final.with_name(f".{final.name}.download.json")
        begun = draft.stat().st_size if draft.is_file() and note.is_file() else 0
        headers = {"Range": f"bytes={begun}-", "If-Range": read_tag(note)} if begun and read_tag(note) else {}
        response = self._request(remote.url, headers)
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            response.close()
            discard(draft, note)
            raise TryAgainError("what was fetched before does not fit the file any more")
        begun = begun if response.status == HTTPStatus.PARTIAL_CONTENT else 0
        with atomic.explain_disk_full(final):
            atomic.write_text(note, json.dumps({"tag": tag_of(response.headers)}))
            with open(draft, "r+b" if begun else "wb") as handle:
                handle.seek(begun)
                handle.truncate()
                self._receive(response, handle, arrived)
                os.fsync(handle.fileno())
        check_content(remote, draft, note)
        os.replace(draft, final)
        note.unlink(missing_ok=True)
        atomic.sync_folder(final.parent)

    def _receive(self, response: Any, handle: Any, arrived: Callable[[int], None]) -> None:
        """Write the body as it comes. Raises TryAgainError where it ends too early."""
        count = 0
        for piece in response.stream(CHUNK):
            if self.closed.is_set():
                response.close()
                raise InterruptedError("the download was stopped")
            self.bytes.take(len(piece))
            handle.write(piece)
            arrived(len(piece))
            count += len(piece)
        check_length(response, count)


def status_text(status: int) -> str:
    """A status code with its name."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def retry_after(headers: Any) -> float | None:
    """Seconds that the server asks for, where it says so in seconds."""
    value = headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def check_length(response: Any, count: int) -> None:
    """Raise TryAgainError unless as many bytes came as were announced."""
    announced = response.headers.get("Content-Length")
    if announced is not None and announced.isdigit() and int(announced) != count:
        raise TryAgainError(f"the connection ended after {count} of {announced} bytes")


def tag_of(headers: Any) -> str:
    """What identifies this version of a file: a strong ETag, else the time it was changed."""
    tag: str = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def read_tag(note: Path) -> str:
    """The tag that the beginning of a download belongs to; "" where that is not known."""
    try:
        return str(json.loads(note.read_text(encoding="utf-8"))["tag"])
    except (OSError, ValueError, KeyError):
        return ""


def discard(draft: Path, note: Path) -> None:
    """Begin anew."""
    draft.unlink(missing_ok=True)
    note.unlink(missing_ok=True)


def check_content(remote: Remote, draft: Path, note: Path) -> None:
    """Raise MismatchError, and begin anew next time, unless size and digest are as promised."""
    found = draft.stat().st_size
    problem = ""
    if remote.num_bytes is not None and found != remote.num_bytes:
        problem = f"has {found} bytes, its listing says {remote.num_bytes}"
    elif remote.digest is not None:
        algorithm, _, wanted = remote.digest.partition(":")
        with open(draft, "rb") as handle:
            digest = hashlib.file_digest(handle, algorithm).hexdigest()
        if digest != wanted:
            problem = f"has {algorithm} {digest}, its listing says {wanted}"
    if problem:
        discard(draft, note)
        raise MismatchError(f"{remote.url}: {problem}")
