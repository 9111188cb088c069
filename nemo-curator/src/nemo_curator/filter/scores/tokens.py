"""Tokens of your own tokenizer (a tokenizer.json, or the folder that holds it)."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ...foundation.backend import Backend, load_backend
from .registry import Scores, texts_of
from .resources import Resources

SCORES = {
    "tokens": "tokens of your tokenizer",
    "characters_per_token": "characters by tokens; -1 where there is none",
}
BACKENDS = {"tokenizers": Backend(module="nemo_curator.filter.scores.tokenizers_backend", extra="classify")}


def compute(documents: pa.Table, resources: Resources) -> dict[str, Scores]:
    """Both scores."""
    texts = texts_of(documents)
    path = resources.need("tokenizer", why="a rule counts tokens")
    tokens = np.array(tokenizer(path)(texts), np.float64)
    lengths = np.array([len(text) for text in texts], np.float64)
    return {"tokens": tokens, "characters_per_token": np.where(tokens > 0, lengths / np.maximum(tokens, 1), -1.0)}


@cache
def tokenizer(path: Path) -> Any:
    """A function from texts to their numbers of tokens."""
    return load_backend("tokenizer", "tokenizers", BACKENDS, package="nemo-curator").counter(path)
