"""Training a fastText classifier (Joulin et al. 2016): the mean of word and n-gram vectors, a linear layer, softmax."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from .fasttext_format import END_OF_LINE, Dictionary, Matrix, Shape, ngram_rows, split, word_hash

LABEL = "__label__"


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
        descend(lines.rows, lines.offsets, lines.labels, order, rates.astype(np.float32), inputs, outputs)
    return inputs, outputs


@njit(cache=True, nogil=True)
def probabilities(hidden, outputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Softmax of the linear layer."""
    found = np.empty(outputs.shape[0], np.float32)
    for label in range(outputs.shape[0]):
        total = np.float32(0)
        for d in range(hidden.shape[0]):
            total += outputs[label, d] * hidden[d]
        found[label] = total
    found = np.exp(found - found.max())
    return found / found.sum()


@njit(cache=True, nogil=True)
def mean_of(rows, first, last, inputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The mean of the vectors of a line."""
    hidden = np.zeros(inputs.shape[1], np.float32)
    for i in range(first, last):
        for d in range(inputs.shape[1]):
            hidden[d] += inputs[rows[i], d]
    return hidden / np.float32(max(last - first, 1))


@njit(cache=True, nogil=True)
def descend(rows, offsets, labels, order, rates, inputs, outputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """One pass of stochastic gradient descent over the lines, in place."""
    width = inputs.shape[1]
    for step in range(order.shape[0]):
        line = order[step]
        first, last = offsets[line], offsets[line + 1]
        hidden = mean_of(rows, first, last, inputs)
        predicted = probabilities(hidden, outputs)
        gradient = np.zeros(width, np.float32)
        for label in range(outputs.shape[0]):
            pull = rates[step] * ((label == labels[line]) - predicted[label])
            for d in range(width):
                gradient[d] += pull * outputs[label, d]
                outputs[label, d] += pull * hidden[d]
        gradient /= np.float32(max(last - first, 1))
        for i in range(first, last):
            for d in range(width):
                inputs[rows[i], d] += gradient[d]


def accuracy(lines: Lines, matrices: tuple[Matrix, Matrix]) -> float:
    """Share of lines whose likeliest label is their own."""
    right = 0
    for line, label in enumerate(lines.labels):
        hidden = mean_of(lines.rows, lines.offsets[line], lines.offsets[line + 1], matrices[0])
        right += int(np.argmax(probabilities(hidden, matrices[1])) == label)
    return right / len(lines.labels) if len(lines.labels) else 0.0
