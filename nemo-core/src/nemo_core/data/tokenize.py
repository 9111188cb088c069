"""Documents to token ids on disk: one pass, in parallel over cores, continued where it stopped when killed.

Each document becomes one sequence that ends with the end-of-text token. What is finished is noted after every portion
of a shard; files are cut back to that note when a run continues, so a killed run ends with the bytes of an
uninterrupted one, and so does a run with another number of worker processes.
"""

import collections
import contextlib
import json
import os
import sys
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..foundation import artifact, atomic
from ..foundation.errors import InputError
from ..foundation.progress import Progress
from ..foundation.settings import to_plain
from .documents import Portion, list_shards, portions
from .encode import HASH_RANGE, SPLITS, Encoded, EncodeRequest, encode_all
from .indexed import token_dtype, write_index
from .settings import TokenizeSettings
from .sources import as_url, remote
from .vocabulary import Vocabulary, copy_tokenizer_files, load_vocabulary

NOTE = ".tokenize.json"
LENGTHS_SUFFIX = ".lengths"
WORTH_WORKERS_BYTES = 16_000_000
PLACES = ("workers",)  # settings that do not touch the result


@dataclass(frozen=True)
class TokenizeResult:
    """What `nemo-core tokenize` prints."""

    output: str
    train_tokens: int
    validation_tokens: int
    train_documents: int
    validation_documents: int
    empty_documents: int
    bytes_per_token: float


@dataclass
class Finished:
    """How far the run has come: whole shards, portions of the next, and what their documents amount to."""

    shards: int = 0
    portions: int = 0
    threshold: int = 0
    lowest: int = HASH_RANGE
    empty: int = 0
    text_bytes: int = 0
    sequences: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))


def run(settings: TokenizeSettings) -> TokenizeResult:
    """Make the tokens artifact of `settings`."""
    if (settings.tokenizer / artifact.MANIFEST).is_file():
        artifact.read(settings.tokenizer, ("tokenizer", "checkpoint", "exported"))
    with artifact.create(
        settings.output,
        kind="tokens",
        package="nemo-core",
        config=resolved(settings),
        inputs={"documents": settings.documents, "tokenizer": settings.tokenizer},
        overwrite=settings.overwrite,
    ) as draft:
        vocabulary = load_vocabulary(settings.tokenizer)
        work = Tokenizing(settings, vocabulary, folder=draft.path)
        done = work.run()
        seal(draft.path, done, vocabulary, source=settings.documents)
        copy_tokenizer_files(settings.tokenizer, draft.path / "tokenizer")
        result = summary(settings.output, done)
        draft.stats.update({k: v for k, v in asdict(result).items() if k != "output"}, vocab_size=vocabulary.size)
    return result


def resolved(settings: TokenizeSettings) -> dict[str, Any]:
    """What decides the result: the settings, and which files lie behind a URL."""
    plain = {name: value for name, value in to_plain(settings).items() if name not in PLACES}
    if as_url(settings.documents):
        plain["files"] = remote().identity([str(as_url(path)) for path in list_shards(settings.documents)])
    return plain


class Tokenizing:
    """Encodes portion after portion into `<split>.bin` and `<split>.lengths` under `folder`."""

    def __init__(self, settings: TokenizeSettings, vocabulary: Vocabulary, *, folder: Path) -> None:
        self.settings, self.vocabulary, self.folder = settings, vocabulary, folder
        self.dtype = token_dtype(vocabulary.size)
        self.done = self._read_note()
        self.shards = list_shards(settings.documents)

    def run(self) -> Finished:
        """Encode what is left. A share that held out nothing of a small collection holds out one document instead."""
        self._encode_shards()
        starved = self.settings.validation_share > 0 and not self.done.sequences["validation"]
        if starved and self.done.sequences["train"] > 1:
            self.done = Finished(threshold=self.done.lowest + 1)
            self._encode_shards()
        return self.done

    def _encode_shards(self) -> None:
        self._cut_back()
        with (
            Progress("tokenize", total=len(self.shards), unit="file") as progress,
            contextlib.closing(self._encoded_portions()) as portions,
        ):
            progress.advance(self.done.shards)
            for shard, encoded in portions:
                if encoded is None:
                    self.done.shards, self.done.portions = shard + 1, 0
                    progress.advance(note=f"{sum(self.done.tokens.values()):,} tokens")
                else:
                    self._append(encoded)
                    self._write_note()
                    progress.advance(0, note=f"{sum(self.done.tokens.values()):,} tokens")

    def _encoded_portions(self) -> Generator[tuple[int, Encoded | None], None, None]:
        """What is left to do, encoded: the shard's number with each of its portions, and with None at its end."""
        request = EncodeRequest(
            tokenizer=self.settings.tokenizer,
            text_field=self.settings.text_field,
            seed=self.settings.seed,
            threshold=self.done.threshold,
        )
        numbers: collections.deque[int] = collections.deque()
        encoded = encode_all(self._left(numbers), request, workers=self._workers())
        current = self.done.shards
        with contextlib.closing(encoded):
            for result in encoded:
                number = numbers.popleft()
                yield from ((ended, None) for ended in range(current, number))
                current = number
                yield number, result
        yield from ((ended, None) for ended in range(current, len(self.shards)))

    def _left(self, numbers: "collections.deque[int]") -> Iterator[Portion]:
        """Portions not yet done; the number of each one's shard is added to `numbers`."""
        first = self.done.shards
        for number, shard in enumerate(self.shards[first:], start=first):
            for portion in islice(
                portions(shard, max_bytes=self.settings.batch_bytes),
                self.done.portions if number == first else 0,
                None,
            ):
                numbers.append(number)
                yield portion

    def _workers(self) -> int:
        return self.settings.workers or (num_cores() if size_of(self.shards) > WORTH_WORKERS_BYTES else 1)

    def _append(self, encoded: Encoded) -> None:
        """Append each split's share of a portion to that split's files."""
        for split in SPLITS:
            append(self._path(split, ".bin"), encoded.ids[split])
            append(self._path(split, LENGTHS_SUFFIX), np.array(encoded.lengths[split], dtype=np.int32).tobytes())
            self.done.sequences[split] += len(encoded.lengths[split])
            self.done.tokens[split] += sum(encoded.lengths[split])
        self.done.portions += 1
        self.done.empty += encoded.empty
        self.done.text_bytes += encoded.text_bytes
        self.done.lowest = min(self.done.lowest, encoded.lowest)

    def _path(self, split: str, suffix: str) -> Path:
        return self.folder / f"{split}{suffix}"

    def _read_note(self) -> Finished:
        note = self.folder / NOTE
        if note.is_file():
            try:
                return msgspec.json.decode(note.read_bytes(), type=Finished)
            except (msgspec.DecodeError, RecursionError) as error:
                self._warn(f"{note}: damaged ({error}); the documents are encoded from the first one on")
        return Finished(threshold=int(self.settings.validation_share * HASH_RANGE))

    @staticmethod
    def _warn(text: str) -> None:
        print(f"nemo-core: warning: {text}", file=sys.stderr, flush=True)

    def _write_note(self) -> None:
        atomic.write_text(self.folder / NOTE, json.dumps(asdict(self.done)))

    def _cut_back(self) -> None:
        """Bring the files back to what the note vouches for; start afresh where they hold less (a power cut)."""
        for split in SPLITS:
            self._path(split, ".bin").touch()
            self._path(split, LENGTHS_SUFFIX).touch()
        if any(path.stat().st_size < size for path, size in self._vouched().items()):
            self.done = Finished(threshold=self.done.threshold)
        for path, size in self._vouched().items():
            os.truncate(path, size)

    def _vouched(self) -> dict[Path, int]:
        sizes = {}
        for split in SPLITS:
            sizes[self._path(split, ".bin")] = self.done.tokens[split] * self.dtype.itemsize
            sizes[self._path(split, LENGTHS_SUFFIX)] = self.done.sequences[split] * np.dtype(np.int32).itemsize
        return sizes


def append(path: Path, content: bytes) -> None:
    """Add bytes to a file and have them on disk before anything vouches for them."""
    with open(path, "ab") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())


def size_of(shards: list[Path]) -> int:
    """Bytes of local shards together; a shard behind a URL counts as worth several processes."""
    return sum(WORTH_WORKERS_BYTES + 1 if as_url(path) else path.stat().st_size for path in shards)


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seal(folder: Path, done: Finished, vocabulary: Vocabulary, *, source: Path) -> None:
    """Write the index of each split and remove the working files. Raises InputError where no text was found."""
    if not done.sequences["train"]:
        raise InputError(
            f"{source}: no document to train on ({done.empty} empty, {done.sequences['validation']} held out); "
            "give more documents or a smaller validation_share"
        )
    kept = [split for split in SPLITS if done.sequences[split]]
    for split in kept:
        lengths = np.fromfile(folder / f"{split}{LENGTHS_SUFFIX}", dtype=np.int32)
        write_index(folder / split, lengths, token_dtype(vocabulary.size))
    (folder / NOTE).unlink()
    for split in SPLITS:
        (folder / f"{split}{LENGTHS_SUFFIX}").unlink()
        if split not in kept:
            (folder / f"{split}.bin").unlink()


def summary(output: Path, done: Finished) -> TokenizeResult:
    """The figures of a finished run."""
    return TokenizeResult(
        output=str(output),
        train_tokens=done.tokens["train"],
        validation_tokens=done.tokens["validation"],
        train_documents=done.sequences["train"],
        validation_documents=done.sequences["validation"],
        empty_documents=done.empty,
        bytes_per_token=round(done.text_bytes / max(1, sum(done.tokens.values())), 3),
    )
