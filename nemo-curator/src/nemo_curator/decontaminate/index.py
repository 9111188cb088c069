"""The passages of evaluation sets as a table of hashes of word n-grams."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..foundation.errors import InputError
from ..kernels.windows import Words, build_table, find_windows, find_words, window_hashes
from ..read.files import list_input
from .benchmarks import FIELDS
from .settings import Decontaminate

Keys = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Match:
    """A passage of a set within a text, in characters, and its number in the index."""

    start: int
    end: int
    number: int


@dataclass(frozen=True)
class Index:
    """Distinct n-grams of all sets, the first set that each is from, and the table to find them in."""

    keys: Keys
    owners: npt.NDArray[np.int32]
    names: tuple[str, ...]
    sizes: Rows
    table: Keys
    numbers: Rows

    def matches(self, text: str) -> list[Match]:
        """Every known n-gram of a text, the longest at each word."""
        words = words_of(text)
        found = find_windows(words.hashes, self.sizes, self.table, self.numbers)
        return [
            Match(int(words.starts[first]), int(words.ends[first + size - 1]), int(number))
            for first, size, number in found
        ]


def words_of(text: str) -> Words:
    """The words of a text in lower case, whatever that does to its length."""
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = "".join(low if len(low := character.lower()) == 1 else character for character in text)
    return find_words(np.frombuffer(lowered.encode("utf-8", "replace"), np.uint8))


def build(settings: Decontaminate) -> Index:
    """The index of all sets. Raises InputError for a set without a passage that is long enough."""
    tasks = tuple((name, str(path)) for name, path in settings.tasks.items())
    fields = tuple((name, tuple(wanted)) for name, wanted in settings.fields.items())
    return build_cached(tasks, fields, settings.ngram, settings.min_ngram)


@cache
def build_cached(
    tasks: tuple[tuple[str, str], ...], fields: tuple[tuple[str, tuple[str, ...]], ...], ngram: int, min_ngram: int
) -> Index:
    """The index, once per process."""
    found: dict[int, int] = {}
    sizes: set[int] = set()
    for owner, (name, path) in enumerate(tasks):
        wanted = dict(fields).get(name, FIELDS.get(name, ()))
        before = len(found)
        for text in texts_of(Path(path), wanted, name):
            for size, key in ngrams(text, ngram=ngram, min_ngram=min_ngram):
                sizes.add(size)
                found.setdefault(key, owner)
        if len(found) == before and owner == 0:
            raise InputError(f"tasks.{name}={path}: holds no text of at least {min_ngram} words to look for")
    keys = np.fromiter(found, np.uint64, len(found))
    slots = 1 << max(4, (2 * len(keys)).bit_length())
    table, numbers = build_table(keys, slots)
    owners = np.fromiter(found.values(), np.int32, len(found))
    return Index(keys, owners, tuple(n for n, _ in tasks), np.array(sorted(sizes, reverse=True)), table, numbers)


def ngrams(text: str, *, ngram: int, min_ngram: int) -> Iterator[tuple[int, int]]:
    """Size and hash of every n-gram of a text; a shorter text counts whole, down to `min_ngram` words."""
    hashes = words_of(text).hashes
    if len(hashes) < min_ngram:
        return
    size = min(ngram, len(hashes))
    for key in window_hashes(hashes, size).tolist():
        yield size, key


def texts_of(path: Path, wanted: Sequence[str], name: str) -> Iterator[str]:
    """The strings of the wanted fields of every record of a set; of all fields where none is named."""
    if not path.exists():
        raise InputError(f"tasks.{name}={path}: no such file or folder")
    listing = list_input(path)
    for file in listing.files:
        if file.format not in ("jsonl", "parquet"):
            raise InputError(f"tasks.{name}={file.path}: an evaluation set is JSONL or Parquet")
        for fields in fields_of(file):
            present = [fields[key] for key in wanted if key in fields]
            if wanted and not present:
                raise InputError(
                    f"tasks.{name}={file.path}: none of the fields {', '.join(wanted)} is in its records, which have "
                    f"{', '.join(fields)}; name them with fields={{{name}: [...]}}"
                )
            for value in present or fields.values():
                yield from strings_in(value)


def fields_of(file: Any) -> Iterator[dict[str, Any]]:
    """The fields of every record, whatever they are called."""
    if file.format == "parquet":
        import pyarrow.parquet as pq

        with file.open() as handle, pq.ParquetFile(handle) as table:
            for batch in table.iter_batches(batch_size=512):
                yield from batch.to_pylist()
        return
    import msgspec

    from ..read.unpack import open_unpacked

    with open_unpacked(file) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                value = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise InputError(f"{file.path}:{number}: not JSON ({error})") from None
            yield value if isinstance(value, dict) else {"": value}


def strings_in(value: Any) -> Iterable[str]:
    """Every string within a JSON value."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in strings_in(item)]
