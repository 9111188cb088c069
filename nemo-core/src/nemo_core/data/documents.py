"""Documents from an artifact, or from JSONL and Parquet files of the user's own, one shard (file) at a time."""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from ..foundation import artifact
from ..foundation.errors import InputError
from .sources import as_url, exists, list_files, open_plain, open_raw

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Document:
    """A text and the name it keeps wherever it goes."""

    id: str
    text: str


class Portion(Protocol):
    """A part of a shard that any process can read alone."""

    def documents(self, text_field: str) -> Iterator[Document]:
        """Its documents in order; an id is the row's own `id`, or file name and row number.

        Raises InputError naming file and line (or column) where a row has no text.
        """


def list_shards(source: Path) -> list[Path]:
    """Document files of an artifact (checked), a folder, a URL or a single file, in name order.

    Raises InputError where there is none, ArtifactError where the artifact is of another kind or damaged.
    """
    if (source / artifact.MANIFEST).is_file():
        artifact.read(source, "documents")
        return sorted((source / "data").glob("*.parquet"))
    found = list_files(source, SUFFIXES)
    if not found:
        problem = "no documents in it" if exists(source) else "no such file or folder"
        shown = as_url(source) or source
        raise InputError(f"{shown}: {problem}; give a documents artifact, or files named *{', *'.join(SUFFIXES)}")
    return found


def read_shard(path: Path, *, text_field: str = "text") -> Iterator[Document]:
    """Documents of one file in order; see `Portion.documents`."""
    for portion in portions(path):
        yield from portion.documents(text_field)


def portions(path: Path, *, max_bytes: int = 2**20) -> Iterator[Portion]:
    """A file in parts of about `max_bytes` bytes (JSONL) or of one row group (Parquet), in order."""
    if path.name.endswith(".parquet"):
        yield from (RowGroup(path, number) for number in range(_open_parquet(path).num_row_groups))
        return
    lines: list[tuple[int, bytes]] = []
    size = 0
    for number, raw in _raw_lines(path):
        lines.append((number, raw))
        size += len(raw)
        if size >= max_bytes:
            yield Lines(path, lines)
            lines, size = [], 0
    if lines:
        yield Lines(path, lines)


@dataclass(frozen=True)
class Lines:
    """Lines of a JSONL file with their numbers."""

    path: Path
    lines: list[tuple[int, bytes]]

    def documents(self, text_field: str) -> Iterator[Document]:
        """See Portion."""
        for number, raw in self.lines:
            row = parse_object(self.path, number, raw)
            text = row.get(text_field)
            if not isinstance(text, str):
                raise InputError(
                    f"{self.path}:{number}: no text under {text_field!r} (keys: {', '.join(row) or 'none'}); "
                    f"name the right one with text_field=..."
                )
            yield Document(str(row.get("id", f"{self.path.name}:{number}")), text)


@dataclass(frozen=True)
class RowGroup:
    """One row group of a Parquet file."""

    path: Path
    number: int

    def documents(self, text_field: str) -> Iterator[Document]:
        """See Portion."""
        file = _open_parquet(self.path)
        names = file.schema_arrow.names
        if text_field not in names:
            raise InputError(
                f"{self.path}: no column {text_field!r} (columns: {', '.join(names)}); "
                "name the right one with text_field=..."
            )
        columns = [name for name in ("id", text_field) if name in names]
        place = sum(file.metadata.row_group(before).num_rows for before in range(self.number))
        for rows in _row_batches(self.path, file, columns=columns, row_group=self.number):
            for row in rows:
                place += 1
                text = row[text_field]
                if not isinstance(text, str):
                    raise InputError(f"{self.path}: row {place}: column {text_field!r} holds {text!r}, not text")
                yield Document(str(row.get("id", f"{self.path.name}:{place}")), text)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Non-empty lines of a JSONL file with their numbers. Raises InputError where it is no UTF-8 or cut short."""
    return ((number, decode_line(path, number, raw)) for number, raw in _raw_lines(path))


def decode_line(path: Path, number: int, raw: bytes) -> str:
    """The text of a line. Raises InputError naming file:line where it is no UTF-8."""
    try:
        return raw.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{number}: not valid UTF-8 ({error.reason}); re-encode the file as UTF-8") from None


def parse_object(path: Path, number: int, line: str | bytes) -> dict[str, Any]:
    """The JSON object on one line. Raises InputError naming file:line."""
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        row = _parse_slowly(path, number, line)
    if not isinstance(row, dict):
        shown = str(line if isinstance(line, str) else line.decode())[:80]
        raise InputError(
            f"{path}:{number}: a JSON object is needed, this is {type(row).__name__}: {shown!r}"
            f"{_unpacking(path, shown)}"
        )
    return row


def _parse_slowly(path: Path, number: int, line: str | bytes) -> Any:
    """What Python's more lenient parser makes of a line (NaN, say); its message is the clearer one, too."""
    text = line if isinstance(line, str) else decode_line(path, number, line)
    try:
        row = json.loads(text)
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{path}:{number}: holds half a surrogate pair ({error.reason}); remove it") from None
    except RecursionError:
        raise InputError(f"{path}:{number}: lists or objects lie too deep in one another: {text[:80]!r}") from None
    except ValueError as error:
        raise InputError(f"{path}:{number}: not valid JSON ({error}): {text[:80]!r}{_unpacking(path, text)}") from None
    return row


def _unpacking(path: Path, text: str) -> str:
    """How a file that is one large JSON array becomes one of lines; nothing for other lines."""
    return f"; of an array, make lines: jq -c '.[]' {path} > rows.jsonl" if text.lstrip().startswith("[") else ""


def _raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Non-empty lines as bytes. Raises InputError where a compressed file is damaged."""
    number = 0
    try:
        with open_plain(path) as handle:
            for number, raw in enumerate(handle, start=1):
                if not raw.isspace():
                    yield number, raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        kind = "zstd" if path.name.endswith(".zst") else "gzip"
        raise InputError(f"{path}:{number + 1}: damaged {kind} ({error}); fetch the file again") from None


def _row_batches(path: Path, file: Any, *, columns: list[str], row_group: int) -> Iterator[list[dict[str, Any]]]:
    """Rows of a row group, some at a time. Raises InputError where they are damaged."""
    import pyarrow as pa

    batches = file.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns, row_groups=[row_group])
    while True:
        try:
            rows = next(batches).to_pylist()
        except StopIteration:
            return
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: row group {row_group} is damaged ({one_line(error)}); fetch it again") from None
        yield rows


def one_line(error: Exception) -> str:
    """What an error says, without its line breaks."""
    return " ".join(str(error).split())


def _open_parquet(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(open_raw(path))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({one_line(error)})") from None
