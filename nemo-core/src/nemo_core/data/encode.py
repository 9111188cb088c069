"""A portion of documents to token ids, in this process or in several; results come in order, whoever made them."""

import collections
import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..foundation.errors import InputError, RetryableError
from .documents import Document, Portion
from .indexed import token_dtype
from .segments import id_bytes
from .vocabulary import Vocabulary, load_vocabulary

SPLITS = ("train", "validation")
HASH_RANGE = 2**64


def split_hash(document_id: str, *, seed: int) -> int:
    """A number in [0, 2^64) that depends on the id and the seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{document_id}".encode()).digest()[:8], "big")


@dataclass(frozen=True, kw_only=True)
class EncodeRequest:
    """How documents become ids: one process after the other gets the same."""

    tokenizer: Path
    text_field: str
    seed: int
    threshold: int


@dataclass
class Encoded:
    """What a portion amounts to: bytes of ids and lengths in tokens, by split."""

    ids: dict[str, bytes] = field(default_factory=dict)
    lengths: dict[str, list[int]] = field(default_factory=dict)
    empty: int = 0
    text_bytes: int = 0
    lowest: int = HASH_RANGE


class Encoder:
    """Encodes portions as `request` says."""

    def __init__(self, request: EncodeRequest) -> None:
        self.request = request
        self.vocabulary: Vocabulary = load_vocabulary(request.tokenizer)
        self.dtype = token_dtype(self.vocabulary.size)
        self._id_bytes = id_bytes(self.vocabulary.tokenizer, self.dtype)
        self._end = np.array([self.vocabulary.eos_id], dtype=self.dtype).tobytes()

    def __call__(self, portion: Portion) -> Encoded:
        """Ids of the portion's documents, each ended by the end-of-text token."""
        result = Encoded(lengths={split: [] for split in SPLITS})
        documents = [d for d in portion.documents(self.request.text_field) if self._counts(d, result)]
        parts: dict[str, list[bytes]] = {split: [] for split in SPLITS}
        for document, ids in zip(documents, self._id_bytes([d.text for d in documents]), strict=True):
            split = self._split_of(document, result)
            parts[split] += (ids, self._end)
            result.lengths[split].append((len(ids) + len(self._end)) // self.dtype.itemsize)
            result.text_bytes += len(document.text.encode())
        result.ids = {split: b"".join(pieces) for split, pieces in parts.items()}
        self._check(result)
        return result

    @staticmethod
    def _counts(document: Document, result: Encoded) -> bool:
        result.empty += not document.text
        return bool(document.text)

    def _split_of(self, document: Document, result: Encoded) -> str:
        position = split_hash(document.id, seed=self.request.seed)
        result.lowest = min(result.lowest, position)
        return "validation" if position < self.request.threshold else "train"

    def _check(self, result: Encoded) -> None:
        for ids in result.ids.values():
            highest = int(np.frombuffer(ids, self.dtype).max(initial=0))
            if highest >= self.vocabulary.size:
                raise InputError(
                    f"{self.request.tokenizer}: gives token id {highest}, but its vocabulary ends at "
                    f"{self.vocabulary.size - 1}; that tokenizer is damaged"
                )


def encode_all(portions: Iterable[Portion], request: EncodeRequest, *, workers: int) -> Generator[Encoded, None, None]:
    """Each portion encoded, in order; with one worker in this process."""
    if workers == 1:
        yield from map(Encoder(request), portions)
        return
    with ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(request,)
    ) as pool:
        try:
            yield from in_order(lambda portion: pool.submit(_encode_here, portion), portions, ahead=2 * workers)
        except BrokenProcessPool:
            raise RetryableError(
                f"one of the {workers} processes that encode died, as one does that takes too much memory; "
                "the same command goes on, with fewer workers=... or smaller batch_bytes=... if that was it"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def in_order(
    submit: Callable[[Portion], "Future[Encoded]"], portions: Iterable[Portion], *, ahead: int
) -> Iterator[Encoded]:
    """Results of submitted portions in order, never more than `ahead` of them waiting."""
    waiting: collections.deque[Future[Encoded]] = collections.deque()
    for portion in portions:
        waiting.append(submit(portion))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


_worker: list[Encoder] = []


def _start_worker(request: EncodeRequest) -> None:
    """Let a new process load the tokenizer once; the processes are the parallelism, so it uses one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C comes to all; the first process ends the others
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["RAYON_NUM_THREADS"] = "1"
    _worker.append(Encoder(request))


def _end_with_parent() -> None:
    """Leave when the process that hands out work was killed; waiting for more of it would never end."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _encode_here(portion: Portion) -> Encoded:
    return _worker[0](portion)
