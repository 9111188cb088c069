"""Where input files lie: on a disk, or behind a URL (``s3://``, ``gs://``, ``https://``, ``memory://``).

Settings hold paths, and a path writes ``s3://bucket/a`` as ``s3:/bucket/a``; both spellings mean the URL.
"""

import gzip
import re
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from ..foundation.backend import Backend, load_backend
from ..foundation.errors import InputError

URL = re.compile(r"^([a-z][a-z0-9+.-]+):/{1,2}(?=[^/])")
REMOTE = {"remote": Backend(module="nemo_core.data.remote", extra="remote")}
COMPRESSION = {"zstd": Backend(module="nemo_core.data.zstd", extra="zstd")}


def as_url(path: Path) -> str | None:
    """The URL that a path spells, or None where it is a file's name."""
    found = URL.match(str(path))
    return f"{found[1]}://{str(path)[found.end() :]}" if found else None


def remote() -> ModuleType:
    """The module that reads URLs. Raises MissingBackend where fsspec is not installed."""
    return load_backend("input", "remote", REMOTE, package="nemo-core")


def open_raw(path: Path) -> IO[bytes]:
    """The bytes of a file or URL as they lie there. Raises InputError where it cannot be opened."""
    url = as_url(path)
    if url is not None:
        handle: IO[bytes] = remote().open_url(url)
        return handle
    try:
        return open(path, "rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its name and permissions") from None


def open_plain(path: Path) -> IO[bytes]:
    """The bytes of a file or URL, unpacked where its name ends with .gz or .zst."""
    raw: Any = open_raw(path)
    if path.name.endswith(".gz"):
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    if path.name.endswith(".zst"):
        unpacked: IO[bytes] = load_backend("compression", "zstd", COMPRESSION, package="nemo-core").unpack(raw)
        return unpacked
    opened: IO[bytes] = raw
    return opened


def list_files(source: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files of a folder or URL, or the one file it names, whose names end with one of `suffixes`, in name order."""
    url = as_url(source)
    if url is not None:
        return [Path(found) for found in remote().list_url(url, suffixes)]
    if source.is_file() and source.name.endswith(suffixes):
        return [source]
    if not source.is_dir():
        return []
    return sorted(p for p in source.rglob("*") if p.is_file() and p.name.endswith(suffixes))


def exists(source: Path) -> bool:
    """Whether there is such a file, folder or URL."""
    url = as_url(source)
    return source.exists() if url is None else bool(remote().exists(url))
