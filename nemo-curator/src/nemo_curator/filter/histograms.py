"""The bins that scores are counted in for the report."""

import numpy as np
import numpy.typing as npt

SHARE_BINS = 20


def edges(score: str) -> npt.NDArray[np.float64]:
    """Edges of the bins of a score; values beyond the ends count into the outer bins."""
    if score == "words":
        return np.concatenate([[0.0], np.geomspace(10, 100_000, 17)])
    if score == "mean_word_length":
        return np.linspace(0, 15, 16)
    if score == "stop_words":
        return np.linspace(-0.5, 8.5, 10)
    if score == "symbols_per_word":
        return np.linspace(0, 0.2, SHARE_BINS + 1)
    return np.linspace(0, 1, SHARE_BINS + 1)
