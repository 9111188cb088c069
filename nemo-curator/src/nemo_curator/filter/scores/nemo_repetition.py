"""N-gram repetition as NeMo Curator 0.9 defines it."""

import numpy as np
import pyarrow as pa

from ...kernels.nemo import repeat_ngrams
from ...kernels.strings import buffers
from .registry import Scores, texts_of
from .resources import Resources

SCORES = {
    **{f"nemo_top_{n}_gram": f"share of text that goes with the most frequent {n} words" for n in (2, 3, 4)},
    **{f"nemo_duplicate_{n}_grams": f"share of text in repeats of {n} words, blanks included" for n in range(2, 11)},
}


def compute(documents: pa.Table, _: Resources) -> dict[str, Scores]:
    """Every score of the family."""
    texts = texts_of(documents)
    data, offsets = buffers(documents["text"])
    spans, repeated = repeat_ngrams(data, offsets)
    lengths = np.array([len(text) for text in texts], np.float64)
    found = {f"nemo_top_{n}_gram": top(texts, data, spans[:, n - 2]) for n in (2, 3, 4)}
    for n in range(2, 11):
        number = repeated[:, n - 2]
        found[f"nemo_duplicate_{n}_grams"] = np.where(number < 0, 1.0, number / np.maximum(lengths, 1))
    return found


def top(texts: list[str], data: np.ndarray, spans: np.ndarray) -> Scores:
    """Share of each text that goes where its most frequent n-gram is removed, blanks as single spaces."""
    out = np.ones(len(texts))
    for row, text in enumerate(texts):
        start, end = spans[row]
        if start >= 0:
            gram = " ".join(bytes(data[start:end]).decode().split())
            out[row] = text.count(gram) * len(gram) / len(text)
    return out
