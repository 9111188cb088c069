"""The files of an input, in an order and under names that depend on nothing but the input itself."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ..foundation import artifact
from ..foundation.backend import Backend, load_backend
from ..foundation.errors import InputError

Format = Literal["warc", "html", "jsonl", "parquet", "text", "mediawiki", "latex", "pdf"]
SUFFIXES: dict[str, Format] = {
    ".warc": "warc",
    ".warc.gz": "warc",
    ".wet": "warc",
    ".wet.gz": "warc",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".jsonl": "jsonl",
    ".jsonl.gz": "jsonl",
    ".jsonl.zst": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.bz2": "jsonl",
    ".jsonl.xz": "jsonl",
    ".json.gz": "jsonl",
    ".json.zst": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
    ".txt.gz": "text",
    ".txt.zst": "text",
    ".txt.bz2": "text",
    ".txt.xz": "text",
    ".xml.bz2": "mediawiki",
    ".xml": "mediawiki",
    ".tar": "latex",
    ".pdf": "pdf",
}
COMPRESSED = (".gz", ".zst", ".bz2", ".xz", ".parquet")
IGNORED_SHOWN = 5
ARTIFACTS = ("raw-web", "documents")


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """One file to read: where it is, its name inside the input, its format, its size and when it was last changed."""

    path: Path
    name: str
    format: str
    num_bytes: int
    url: str = ""
    modified_ns: int = 0

    @classmethod
    def local(cls, path: Path, *, name: str, format: str) -> "InputFile":
        """The file at `path`, as it is now."""
        status = path.stat()
        return cls(path=path, name=name, format=format, num_bytes=status.st_size, modified_ns=status.st_mtime_ns)

    def open(self) -> BinaryIO:
        """The bytes of the file as they are stored, from its beginning."""
        if self.url:
            opened: BinaryIO = remote().open_url(self.url)
            return opened
        return open(self.path, "rb")

    @property
    def changed(self) -> bool:
        """Whether a local file is another one now than when the input was listed, or is gone."""
        if not self.modified_ns:
            return False
        try:
            status = self.path.stat()
        except OSError:
            return True
        return (status.st_size, status.st_mtime_ns) != (self.num_bytes, self.modified_ns)

    @property
    def holds_html(self) -> bool:
        """Whether its text is still to be extracted."""
        return self.format == "html" or (self.format == "warc" and not self.name.lower().endswith((".wet", ".wet.gz")))

    @property
    def weight(self) -> int:
        """Bytes it is likely to hold once unpacked."""
        return self.num_bytes * (4 if self.name.endswith(COMPRESSED) else 1)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What an input holds: files that can be read, and what is left out: files of other formats, links to folders."""

    files: list[InputFile]
    ignored: list[str]

    def report_ignored(self, path: Path) -> None:
        """Say on stderr what is left out."""
        if self.ignored:
            count = len(self.ignored)
            shown = ", ".join(self.ignored[:IGNORED_SHOWN]) + (", …" if count > IGNORED_SHOWN else "")
            print(f"input={path}: {count} file{'s' * (count > 1)} left out: {shown}", file=sys.stderr)


def format_of(name: str) -> str | None:
    """The format that a file name promises; None for another. Suffixes that other packages offer come last."""
    lowered = name.lower()
    known = next((format for suffix, format in SUFFIXES.items() if lowered.endswith(suffix)), None)
    return known or next((suffix for suffix in offered_formats() if lowered.endswith(suffix)), None)


@cache
def offered_formats() -> dict[str, EntryPoint]:
    """Readers of other packages by suffix: entry points of the group `nemo_curator.formats`, named ".suffix"."""
    return {point.name.lower(): point for point in entry_points(group="nemo_curator.formats")}


def list_input(path: Path) -> Listing:
    """The files of `path`: a file, a folder, a raw-web or documents artifact, or an address such as s3://bucket/crawl.

    Files are ordered as the ids of their documents are. Raises InputError where there is nothing to read.
    """
    address = address_of(path)
    if address:
        listing: Listing = remote().list_url(address)
        return listing
    if not path.exists():
        hint = "; a pattern is not expanded: name the folder, whose files are all read" if "*" in str(path) else ""
        raise InputError(f"input={path}: no such file or folder{hint}")
    root, found, left_out = candidates(path)
    files = [
        InputFile.local(each, name=name_inside(root, each), format=format)
        for each in found
        if (format := format_of(each.name))
    ]
    ignored = sorted([*left_out, *(name_inside(root, each) for each in found if not format_of(each.name))])
    if not files:
        raise InputError(f"input={path}: {nothing_found(found)}; it reads {', '.join(SUFFIXES)}")
    return Listing(files=sorted(files, key=lambda f: f"{f.name}#"), ignored=ignored)


def remote() -> Any:
    """The module that reads addresses. Raises MissingBackend where fsspec is not installed."""
    where = Backend(module=f"{__package__}.remote", extra="remote")
    return load_backend("input", "address", {"address": where}, package="nemo-curator")


def address_of(path: Path) -> str:
    """The address that a setting of type path was written as; "" for a local path. A path folds "//" into "/"."""
    scheme, colon, rest = path.as_posix().partition(":/")
    return f"{scheme}://{rest.lstrip('/')}" if colon and len(scheme) > 1 and scheme.isalnum() else ""


def candidates(path: Path) -> tuple[Path, list[Path], list[str]]:
    """The folder that names are relative to, all files under it that are not hidden, and what else is there.

    Raises InputError for a folder that cannot be listed.
    """
    if path.is_file():
        return path.parent, [path], []
    if (path / artifact.MANIFEST).is_file():
        artifact.read(path, ARTIFACTS)
        path = path / "data"
    found, left_out = [], []
    for each in visible(path):
        if each.is_file():
            found.append(each)
        else:
            left_out.append(f"{name_inside(path, each)} ({kind_of(each)})")
    return path, found, left_out


def visible(root: Path) -> Iterator[Path]:
    """Everything under `root` that is neither hidden nor a folder; a link to a folder is not followed."""
    for folder, folders, names in os.walk(root, onerror=cannot_list):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if Path(folder, name).is_symlink()]
        yield from (Path(folder, name) for name in [*links, *names] if not name.startswith("."))


def cannot_list(error: OSError) -> None:
    """Raise InputError in the place of what listing a folder raises."""
    raise InputError(f"input: the folder {error.filename} cannot be listed ({error.strerror}); give access to it")


def kind_of(path: Path) -> str:
    """What something that is no file is, in words."""
    if path.is_dir():
        return "a link to a folder, not followed"
    return "a link that leads nowhere" if path.is_symlink() else "no regular file"


def name_inside(root: Path, path: Path) -> str:
    """The name of a file inside an input; bytes that are no UTF-8 are written as escapes."""
    return path.relative_to(root).as_posix().encode("utf-8", "backslashreplace").decode()


def nothing_found(found: Sequence[Path]) -> str:
    """Why an input has nothing to read."""
    if not found:
        return "the folder is empty"
    if len(found) == 1:
        return f"{found[0].name!r} is of no known format"
    return f"none of its {len(found)} files is of a known format"
