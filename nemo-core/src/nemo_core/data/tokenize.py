"""Documents to token ids on disk: one pass, in parallel over cores, continued where it stopped when killed.

Each document becomes one sequence that ends with the end-of-text token. What is finished is noted after every shard;
files are cut back to that note when a run continues, so a killed run ends with the bytes of an uninterrupted one.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..foundation import artifact, atomic
from ..foundation.errors import InputError
from ..foundation.progress import Progress
from ..foundation.settings import to_plain
from .documents import Document, list_shards, read_shard
from .indexed import token_dtype, write_index
from .settings import TokenizeSettings
from .vocabulary import Vocabulary, copy_tokenizer_files, load_vocabulary

SPLITS = ("train", "validation")
NOTE = ".tokenize.json"
LENGTHS_SUFFIX = ".lengths"
HASH_RANGE = 2**64


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
    """How far the run has come: whole shards, and what their documents amount to in each split."""

    shards: int = 0
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
        config=to_plain(settings),
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


def split_hash(document_id: str, *, seed: int) -> int:
    """A number in [0, 2^64) that depends on the id and the seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{document_id}".encode()).digest()[:8], "big")


class Tokenizing:
    """Encodes shard after shard into `<split>.bin` and `<split>.lengths` under `folder`."""

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
        with Progress("tokenize", total=len(self.shards), unit="file") as progress:
            progress.advance(self.done.shards)
            for shard in self.shards[self.done.shards :]:
                self._encode_shard(shard, progress)
                self._write_note()
                progress.advance(note=f"{sum(self.done.tokens.values()):,} tokens")

    def _encode_shard(self, shard: Path, progress: Progress) -> None:
        for batch in batches(self._documents(shard), max_bytes=self.settings.batch_bytes):
            self._append(batch, shard)
            progress.advance(0, note=f"{sum(self.done.tokens.values()):,} tokens")
        self.done.shards += 1

    def _documents(self, shard: Path) -> Iterator[Document]:
        for document in read_shard(shard, text_field=self.settings.text_field):
            if document.text:
                yield document
            else:
                self.done.empty += 1

    def _append(self, batch: list[Document], shard: Path) -> None:
        """Encode a batch and append each split's share of it to that split's files."""
        encoded = self.vocabulary.encode_batch([document.text for document in batch])
        sequences: dict[str, list[list[int]]] = {split: [] for split in SPLITS}
        for document, ids in zip(batch, encoded, strict=True):
            self._check(document, ids, shard)
            sequences[self._split_of(document)].append([*ids, self.vocabulary.eos_id])
            self.done.text_bytes += len(document.text.encode())
        for split, added in sequences.items():
            lengths = np.array([len(ids) for ids in added], dtype=np.int32)
            append(self._path(split, ".bin"), np.fromiter(chain.from_iterable(added), dtype=self.dtype))
            append(self._path(split, LENGTHS_SUFFIX), lengths)
            self.done.sequences[split] += len(lengths)
            self.done.tokens[split] += int(lengths.sum(dtype=np.int64))

    def _check(self, document: Document, ids: list[int], shard: Path) -> None:
        highest = max(ids, default=0)
        if highest >= self.vocabulary.size:
            raise InputError(
                f"{shard}: document {document.id!r} has token id {highest}, but the vocabulary of "
                f"{self.settings.tokenizer} ends at {self.vocabulary.size - 1}; that tokenizer is damaged"
            )

    def _path(self, split: str, suffix: str) -> Path:
        return self.folder / f"{split}{suffix}"

    def _split_of(self, document: Document) -> str:
        position = split_hash(document.id, seed=self.settings.seed)
        self.done.lowest = min(self.done.lowest, position)
        return "validation" if position < self.done.threshold else "train"

    def _read_note(self) -> Finished:
        note = self.folder / NOTE
        if note.is_file():
            return Finished(**json.loads(note.read_text(encoding="utf-8")))
        return Finished(threshold=int(self.settings.validation_share * HASH_RANGE))

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


def append(path: Path, values: NDArray[np.generic]) -> None:
    """Add the raw bytes of `values` to a file and have them on disk before anything vouches for them."""
    with open(path, "ab") as handle:
        handle.write(values.tobytes())
        handle.flush()
        os.fsync(handle.fileno())


def batches(documents: Iterator[Document], *, max_bytes: int) -> Iterator[list[Document]]:
    """Runs of documents of about `max_bytes` characters; a longer document is a batch of its own."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= max_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


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
