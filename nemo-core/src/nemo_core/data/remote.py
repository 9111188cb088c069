"""Files behind URLs, read as they come through fsspec; loaded only when a URL is given."""

import hashlib
import json
from typing import IO, Any

import fsspec
from fsspec.core import url_to_fs

from ..foundation.errors import InputError, MissingBackend


def open_url(url: str) -> IO[bytes]:
    """A stream of the bytes behind `url`. Raises InputError where there are none."""
    system, path = locate(url)
    try:
        handle: IO[bytes] = system.open(path, "rb")
    except OSError as error:
        raise InputError(f"{url}: cannot be read ({error!r}); check the address and your credentials") from None
    return handle


def list_url(url: str, suffixes: tuple[str, ...]) -> list[str]:
    """URLs under `url` (or `url` itself) whose names end with one of `suffixes`, in name order."""
    system, path = locate(url)
    try:
        if url.endswith(suffixes):
            return [url] if system.exists(path) else []
        found = system.find(path)
    except (OSError, NotImplementedError) as error:
        raise InputError(f"{url}: cannot be listed ({error!r}); name one file") from None
    return sorted(system.unstrip_protocol(name) for name in found if name.endswith(suffixes))


def exists(url: str) -> bool:
    """Whether there is something behind `url`."""
    system, path = locate(url)
    return bool(system.exists(path))


def identity(urls: list[str]) -> str:
    """What tells whether the files behind `urls` are the same as before: names, sizes, tags and times."""
    known = ("size", "ETag", "etag", "mtime", "created", "LastModified", "last_modified", "checksum")
    facts: list[Any] = []
    for url in urls:
        system, path = locate(url)
        info = system.info(path)
        facts.append([url, {key: str(info[key]) for key in known if key in info}])
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def locate(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of `url` and the path in it. Raises InputError for a scheme nobody knows."""
    scheme = url.partition(":")[0]
    try:
        system, path = url_to_fs(url)
    except OSError as error:
        raise InputError(f"{url}: cannot be reached ({error!r}); check the address") from None
    except ValueError as error:
        raise InputError(f"{url}: {error}") from None
    except ImportError as error:
        raise MissingBackend(f"{url}: reading {scheme}:// needs a further library: {error}") from None
    return system, path
