"""What C4 drops whole pages for, counted in the lines that it would keep."""

import numpy as np
import pyarrow as pa

from ..c4_lines import C4Lines, look
from .registry import Scores, texts_of
from .resources import Resources

SCORES = {
    "sentences": "sentences in the lines that C4 keeps",
    "lorem_ipsum": 'such lines with "lorem ipsum"',
    "curly_brackets": "such lines with an opening curly bracket",
}


def compute(documents: pa.Table, _: Resources) -> dict[str, Scores]:
    """Every score of the family."""
    pages = [look(text, C4Lines()) for text in texts_of(documents)]
    return {
        "sentences": np.array([page.sentences for page in pages], np.float64),
        "lorem_ipsum": np.array([page.placeholders for page in pages], np.float64),
        "curly_brackets": np.array([page.brackets for page in pages], np.float64),
    }
