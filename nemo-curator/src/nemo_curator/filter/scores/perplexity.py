"""Perplexity under an n-gram model of your own, in the ARPA format that KenLM, SRILM and others write."""

import gzip
from functools import cache
from pathlib import Path
from typing import IO, cast

import numpy as np
import pyarrow as pa

from ...foundation.errors import ConfigError
from .registry import Scores, texts_of
from .resources import Resources

SCORES = {"perplexity": "perplexity per word, sentence end included, of lower-case lines under your n-gram model"}
Gram = tuple[str, ...]
UNKNOWN_LOG10 = -100.0


def compute(documents: pa.Table, resources: Resources) -> dict[str, Scores]:
    """The perplexity of every text; that of an empty one is infinite."""
    model = load(resources.need("ngram_model", why="a rule looks at perplexity"))
    return {"perplexity": np.array([model.perplexity(text) for text in texts_of(documents)], np.float64)}


class NgramModel:
    """Backoff n-grams with log10 probabilities (Katz form)."""

    def __init__(self, grams: dict[Gram, tuple[float, float]], order: int) -> None:
        self._grams, self._order = grams, order

    def log10(self, word: str, history: Gram) -> float:
        """Log probability of a word behind a history."""
        if (word,) not in self._grams:
            word = "<unk>"
        while True:
            found = self._grams.get((*history, word))
            if found is not None:
                return found[0]
            if not history:
                return UNKNOWN_LOG10
            backoff = self._grams.get(history, (0.0, 0.0))[1]
            return backoff + self.log10(word, history[1:])

    def perplexity(self, text: str) -> float:
        """Perplexity of the lines of a text."""
        total, count = 0.0, 0
        for line in text.lower().splitlines():
            words = line.split()
            if not words:
                continue
            history: Gram = ("<s>",)
            for word in (*words, "</s>"):
                total += self.log10(word, history[-(self._order - 1) :] if self._order > 1 else ())
                count += 1
                history = (*history, word if (word,) in self._grams else "<unk>")[-self._order :]
        return float(10.0 ** (-total / count)) if count else float("inf")


@cache
def load(path: Path) -> NgramModel:
    """The model of an ARPA file, plain or gzipped. Raises ConfigError naming the line that is none of its format."""
    grams: dict[Gram, tuple[float, float]] = {}
    order = 0
    with cast(
        IO[str], gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")
    ) as lines:
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if line.startswith("\\") and line.endswith("-grams:"):
                order = int(line[1 : -len("-grams:")])
            elif order and line and not line.startswith("\\"):
                fields = line.split()
                if len(fields) not in (order + 1, order + 2):
                    raise ConfigError(f"{path}:{number}: {line[:60]!r} is no {order}-gram of an ARPA file")
                backoff = float(fields[order + 1]) if len(fields) == order + 2 else 0.0
                grams[tuple(fields[1 : order + 1])] = (float(fields[0]), backoff)
    if not grams:
        raise ConfigError(f"ngram_model={path}: holds no n-gram; an ARPA file is needed")
    return NgramModel(grams, order)
