"""What every score of a user's own has to do; run `check_score` in your tests."""

from collections.abc import Callable, Sequence

import numpy as np

from .corpora import prose

ODD = ("", " ", "\n", "x", "été", "日本語のテキスト", "\U0001f600", "a" * 10_000, "line\nline\n\nline", "\u2028\u00a0")


def check_score(function: Callable[[list[str]], Sequence[float]]) -> None:
    """Raise AssertionError unless the function is one of a text alone, and answers odd texts with finite numbers."""
    texts = [*ODD, *(prose(n) for n in range(3))]
    together = np.asarray(function(list(texts)), np.float64)
    assert together.shape == (len(texts),), f"gives {together.shape} numbers for {len(texts)} texts; one for each"
    assert not np.isnan(together).any(), f"gives no number for {texts[int(np.flatnonzero(np.isnan(together))[0])]!r}"
    alone = np.concatenate([np.asarray(function([text]), np.float64) for text in texts])
    differing = np.flatnonzero(alone != together)
    assert not len(differing), f"the score of {texts[int(differing[0])]!r} depends on the texts beside it"
    assert np.asarray(function([]), np.float64).shape == (0,), "gives numbers for no text"
