"""The files of an input, in an order and under names that depend on nothing but the input itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..foundation import artifact
from ..foundation.errors import InputError

Format = Literal["warc", "html", "jsonl", "parquet"]
SUFFIXES: dict[str, Format] = {
    ".warc": "warc",
    ".warc.gz": "warc",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".jsonl": "jsonl",
    ".jsonl.gz": "jsonl",
    ".jsonl.zst": "jsonl",
    ".ndjson": "jsonl",
    ".json.gz": "jsonl",
    ".json.zst": "jsonl",
    ".parquet": "parquet",
}
COMPRESSED = (".gz", ".zst", ".parquet")
ARTIFACTS = ("raw-web", "documents")


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """One file to read: where it is, its name inside the input, its format and size."""

    path: Path
    name: str
    format: Format
    num_bytes: int

    @property
    def weight(self) -> int:
        """Bytes it is likely to hold once unpacked."""
        return self.num_bytes * (4 if self.name.endswith(COMPRESSED) else 1)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What an input holds: files that can be read, and names of files of other formats."""

    files: list[InputFile]
    ignored: list[str]


def format_of(name: str) -> Format | None:
    """The format that a file name promises; None for another."""
    lowered = name.lower()
    return next((format for suffix, format in SUFFIXES.items() if lowered.endswith(suffix)), None)


def list_input(path: Path) -> Listing:
    """The files of `path`: a file, a folder, or a raw-web or documents artifact.

    Files are ordered as the ids of their documents are. Raises InputError where there is nothing to read.
    """
    if not path.exists():
        raise InputError(f"input={path}: no such file or folder")
    root, found = candidates(path)
    files = [
        InputFile(path=each, name=each.relative_to(root).as_posix(), format=format, num_bytes=each.stat().st_size)
        for each in found
        if (format := format_of(each.name))
    ]
    ignored = sorted(each.relative_to(root).as_posix() for each in found if not format_of(each.name))
    if not files:
        raise InputError(f"input={path}: {nothing_found(found)}; it reads {', '.join(SUFFIXES)}")
    return Listing(files=sorted(files, key=lambda f: f"{f.name}#"), ignored=ignored)


def candidates(path: Path) -> tuple[Path, list[Path]]:
    """The folder that names are relative to, and all files under it that are not hidden."""
    if path.is_file():
        return path.parent, [path]
    if (path / artifact.MANIFEST).is_file():
        artifact.read(path, ARTIFACTS)
        path = path / "data"
    found = [p for p in path.rglob("*") if p.is_file()]
    return path, [p for p in found if not any(part.startswith(".") for part in p.relative_to(path).parts)]


def nothing_found(found: Sequence[Path]) -> str:
    """Why an input has nothing to read."""
    if not found:
        return "the folder is empty"
    if len(found) == 1:
        return f"{found[0].name!r} is of no known format"
    return f"none of its {len(found)} files is of a known format"
