"""Input files behind an address (s3://, gs://, https://, memory:// …), through fsspec."""

from functools import cache
from typing import Any, BinaryIO, cast

from fsspec.core import url_to_fs

from ..foundation.errors import InputError, MissingBackend
from .files import SUFFIXES, InputFile, Listing, format_of, nothing_found


def list_url(address: str) -> Listing:
    """The files under `address`, or the one that it names. Raises InputError where there is nothing to read."""
    system, root = opened(address)
    try:
        found = sorted(system.find(root)) if not format_of(address) else [root]
        sizes = {path: int(system.info(path)["size"] or 0) for path in found}
    except (OSError, KeyError) as error:
        raise InputError(f"input={address}: {error or 'not found'}") from None
    parent = root.rstrip("/").rpartition("/")[0] if found == [root] else root
    names = {path: path.removeprefix(parent).lstrip("/") for path in found}
    files = [
        InputFile(
            path=local_name(name), name=name, format=format, num_bytes=sizes[path], url=system.unstrip_protocol(path)
        )
        for path, name in names.items()
        if (format := format_of(name))
    ]
    if not files:
        raise InputError(
            f"input={address}: {nothing_found([local_name(n) for n in names.values()])}; it reads {', '.join(SUFFIXES)}"
        )
    ignored = sorted(name for name in names.values() if not format_of(name))
    return Listing(files=sorted(files, key=lambda f: f"{f.name}#"), ignored=ignored)


def local_name(name: str) -> Any:
    """A path that stands for a remote file in messages."""
    from pathlib import Path

    return Path(name)


@cache
def opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the address in its own terms."""
    try:
        system, root = url_to_fs(address)
    except ImportError as error:
        raise MissingBackend(f"input={address}: {error}") from None
    except ValueError as error:
        raise InputError(f"input={address}: {error}") from None
    return system, root


def open_url(address: str) -> BinaryIO:
    """The bytes behind an address, from the beginning; reading goes on where a connection broke."""
    system, path = opened(address)
    return cast(BinaryIO, system.open(path, "rb"))
