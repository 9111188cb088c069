"""Addresses within the text (NeMo Curator's Urls and PornographicUrls)."""

import re

import numpy as np
import pyarrow as pa

from .registry import Scores, texts_of
from .resources import Resources

SCORES = {
    "url_characters": "share of characters in http(s) addresses",
    "pornographic_urls": 'addresses that contain "porn"',
}
ADDRESS = re.compile(r"https?://(?:[A-Za-z0-9$\-_@.&+/:=?#~!*(),]|%[0-9A-Fa-f]{2})+")


def compute(documents: pa.Table, _: Resources) -> dict[str, Scores]:
    """Both scores."""
    rows = [score(text) for text in texts_of(documents)]
    return dict(zip(SCORES, np.array(rows, np.float64).reshape(-1, 2).T.copy(), strict=True))


def score(text: str) -> tuple[float, float]:
    """Both scores of one text."""
    if not text:
        return 1.0, 0.0
    if "http" not in text:
        return 0.0, 0.0
    found = ADDRESS.findall(text)
    return sum(map(len, found)) / len(text), float(sum("porn" in address for address in found))
