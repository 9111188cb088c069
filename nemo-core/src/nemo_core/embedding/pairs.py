"""Pairs of texts that belong together: read, and laid out as rows of a batch.

B pairs, R texts of a pair (query, positive, negatives), T tokens of a text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..data.batch import IGNORED, Batch
from ..data.documents import parse_object, read_lines
from ..data.encode import HASH_RANGE, split_hash
from ..data.rows import read_conversations
from ..foundation import artifact
from ..foundation.errors import InputError
from .model import TextEncoder

FILLING = -1  # in `segments_BT`: no text


@dataclass(frozen=True)
class Pair:
    """A query, what answers it, and what only seems to."""

    query: str
    positive: str
    negatives: tuple[str, ...]

    def texts(self, *, negatives: int) -> tuple[str, ...]:
        """Its texts, hard negatives last and no more of them than asked for."""
        return (self.query, self.positive, *self.negatives[:negatives])


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a JSONL file, or questions and answers of a conversations artifact.

    Raises InputError naming a line that is no pair, or where there are fewer than two.
    """
    found = conversation_pairs(path) if path.is_dir() else file_pairs(path)
    if len(found) < 2:
        raise InputError(f"{path}: holds {len(found)} pair(s); each is the others' negative, so two are needed")
    return found


def conversation_pairs(folder: Path) -> list[Pair]:
    """The first question of each conversation with its answer."""
    artifact.read(folder, "conversations")
    rows = [
        {message["role"]: message["content"] for message in reversed(row.messages)}
        for row in read_conversations(folder, "train")
    ]
    return [Pair(row["user"], row["assistant"], ()) for row in rows if {"user", "assistant"} <= row.keys()]


def file_pairs(path: Path) -> list[Pair]:
    """The pairs of a JSONL file."""
    found = []
    for number, row in read_rows(path):
        query, positive = row.get("query", row.get("anchor")), row.get("positive")
        wrong = row.get("negatives", row.get("negative", []))
        negatives = [wrong] if isinstance(wrong, str) else wrong
        if not isinstance(query, str) or not isinstance(positive, str):
            raise InputError(f"{path}:{number}: a pair needs the texts `query` and `positive`")
        if not isinstance(negatives, list) or not all(isinstance(text, str) for text in negatives):
            raise InputError(f"{path}:{number}: `negatives` is a list of texts")
        found.append(Pair(query, positive, tuple(negatives)))
    return found


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered JSON objects of a file. Raises InputError where there is no such file."""
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder; name one JSONL file' if path.is_dir() else 'no such file'}")
    for number, line in read_lines(path):
        yield number, parse_object(path, number, line)


def split_pairs(pairs: Sequence[Pair], *, share: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Pairs to learn from and held-out ones, chosen by their queries; none are held out where that leaves too few."""
    held = [pair for pair in pairs if split_hash(pair.query, seed=seed) < share * HASH_RANGE]
    left = [pair for pair in pairs if split_hash(pair.query, seed=seed) >= share * HASH_RANGE]
    return (left, held) if len(held) > 1 and len(left) > 1 else (list(pairs), [])


def pair_batch(rows: Sequence[Sequence[Pair]], encoder: TextEncoder, *, negatives: int) -> Batch:
    """One batch row for each list of one pair: its texts side by side, each filled up to the longest of the batch.

    `segments_BT` says which text a token is of. Each row has one target, which stands at its first token: being nearest
    to its positive. A pair with fewer negatives than others has empty ones.
    """
    texts = [pair.texts(negatives=negatives) for row in rows for pair in row]
    ids = [[encoder.ids(text) for text in one] for one in texts]
    width = max(len(text) for one in ids for text in one)
    shape = len(ids), 2 + negatives, width
    ids_BRT, segments_BRT = torch.zeros(shape, dtype=torch.int64), torch.full(shape, FILLING)
    for row, one in enumerate(ids):
        for number, text in enumerate(one):
            ids_BRT[row, number, : len(text)] = torch.tensor(text)
            segments_BRT[row, number, : len(text)] = number
    targets_BT = torch.full((len(ids), shape[1] * width), IGNORED)
    targets_BT[:, 0] = 1
    return Batch(ids_BRT.flatten(1), targets_BT, segments_BT=segments_BRT.flatten(1))
