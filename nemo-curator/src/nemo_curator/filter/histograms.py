"""The bins that scores are counted in for the report."""

import numpy as np
import numpy.typing as npt

SHARE_BINS = 20
PREFIXES = ("datatrove_", "nemo_", "data_juicer_")
COUNTED = ("words", "characters", "longest_line", "third_longest_line", "longest_word", "lines", "tokens", "perplexity")


def edges(score: str) -> npt.NDArray[np.float64]:
    """Edges of the bins of a score; values beyond the ends count into the outer bins."""
    for prefix in PREFIXES:
        score = score.removeprefix(prefix)
    if score in COUNTED:
        return np.concatenate([[0.0], np.geomspace(10, 100_000, 17)])
    if score in ("mean_word_length", "characters_per_token"):
        return np.linspace(0, 15, 16)
    if score == "mean_line_length":
        return np.linspace(0, 500, 26)
    if score in ("stop_words", "listed_stop_words", "sentences", "pornographic_urls", "lorem_ipsum", "curly_brackets"):
        return np.linspace(-0.5, 8.5, 10)
    if score == "symbols_per_word":
        return np.linspace(0, 0.2, SHARE_BINS + 1)
    return np.linspace(0, 1, SHARE_BINS + 1)
