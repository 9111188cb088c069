"""Training a fastText classifier (Joulin et al. 2016): the mean of word and n-gram vectors, a linear layer, softmax."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..kernels.library import F32, I32, I64, Number, kernel
from .fasttext_format import END_OF_LINE, Dictionary, Matrix, Shape, ngram_rows, split, word_hash

LABEL = "__label__"

_descend = kernel("descend", I32, I64, I64, I64, F32, Number, F32, F32, Number, Number)
_probabilities = kernel("probabilities", I32, I64, Number, F32, F32, Number, Number, F32)


@dataclass(frozen=True)
class Lines:
    """Training lines as rows of the input matrix, end to end, and the number of each line's label."""

    rows: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


def dictionary_of(texts: Sequence[str], labels: Sequence[str], *, min_count: int) -> Dictionary:
    """Words that occur often enough, most frequent first (then by name), and labels."""
    words: Counter[str] = Counter()
    for text in texts:
        words.update(split(text))
    counted = {word: n for word, n in words.items() if n >= min_count or word == END_OF_LINE}
    named = Counter(LABEL + label for label in labels)
    return Dictionary(*(dict(sorted(c.items(), key=lambda item: (-item[1], item[0]))) for c in (counted, named)))


def encode(texts: Sequence[str], labels: Sequence[str], dictionary: Dictionary, shape: Shape) -> Lines:
    """Every text as the rows that fastText looks up for it."""
    number = {word: index for index, word in enumerate(dictionary.words)}
    label_number = {label: index for index, label in enumerate(dictionary.labels)}
    hashes: dict[str, int] = {}
    rows: list[npt.NDArray[np.int32]] = []
    for text in texts:
        tokens = split(text)
        for token in tokens:
            if token not in hashes:
                hashes[token] = word_hash(token)
        own = [number[token] for token in tokens if token in number]
        grams = ngram_rows([hashes[token] for token in tokens], words=len(number), shape=shape)
        rows.append(np.array([*own, *grams], np.int32))
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in rows])]).astype(np.int64)
    owners = np.array([label_number[LABEL + label] for label in labels], np.int64)
    return Lines(np.concatenate(rows) if rows else np.zeros(0, np.int32), offsets, owners)


def initial(dictionary: Dictionary, shape: Shape, seed: int) -> tuple[Matrix, Matrix]:
    """Small random input vectors, and output vectors of zero."""
    generator = np.random.default_rng(seed)
    bound = 1.0 / shape.dimension
    rows = len(dictionary.words) + shape.buckets
    matrix = generator.uniform(-bound, bound, (rows, shape.dimension)).astype(np.float32)
    return matrix, np.zeros((len(dictionary.labels), shape.dimension), np.float32)


def order_of(lines: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """A permutation of the lines that seed and epoch decide."""
    digest = hashlib.blake2b(f"{seed}/{epoch}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big")).permutation(lines)


def train(lines: Lines, dictionary: Dictionary, shape: Shape, *, rate: float, seed: int) -> tuple[Matrix, Matrix]:
    """Both matrices after stochastic gradient descent with a linearly falling rate; always the same."""
    inputs, outputs = initial(dictionary, shape, seed)
    for epoch in range(shape.epochs):
        order = order_of(len(lines.labels), seed, epoch)
        rates = rate * (1 - (epoch + np.arange(len(order)) / len(order)) / shape.epochs)
        descend(lines, order, rates.astype(np.float32), inputs, outputs)
    return inputs, outputs


def descend(
    lines: Lines, order: npt.NDArray[np.int64], rates: npt.NDArray[np.float32], inputs: Matrix, outputs: Matrix
) -> None:
    """One pass of stochastic gradient descent over the lines in the given order, in place."""
    _descend(lines.rows, lines.offsets, lines.labels, order, rates, len(order), inputs, outputs, *outputs.shape)


def probabilities(lines: Lines, inputs: Matrix, outputs: Matrix) -> npt.NDArray[np.float32]:
    """The probability of every label for every line: softmax of the linear layer over the mean of its vectors."""
    out = np.empty((len(lines.labels), len(outputs)), np.float32)
    _probabilities(lines.rows, lines.offsets, len(lines.labels), inputs, outputs, *outputs.shape, out)
    return out


def accuracy(lines: Lines, matrices: tuple[Matrix, Matrix]) -> float:
    """Share of lines whose likeliest label is their own."""
    found = probabilities(lines, *matrices).argmax(axis=1)
    return int((found == lines.labels).sum()) / len(lines.labels) if len(lines.labels) else 0.0
