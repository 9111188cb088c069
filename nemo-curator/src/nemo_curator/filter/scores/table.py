"""Scores that an earlier step wrote into a column."""

import numpy as np
import pyarrow as pa

from ...foundation.errors import InputError
from .registry import Scores
from .resources import Resources

SCORES = {"language_score": "probability of the language found; run the language step first"}


def compute(documents: pa.Table, _: Resources) -> dict[str, Scores]:
    """The probability that the language step wrote."""
    if "language_score" not in documents.column_names:
        raise InputError("no column 'language_score': put the step 'language' before the rule on it")
    return {"language_score": documents["language_score"].to_numpy().astype(np.float64)}
