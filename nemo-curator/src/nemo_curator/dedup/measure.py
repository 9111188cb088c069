"""What fuzzy deduplication finds on a sample, beside all pairs compared by brute force."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from ..document import Document
from ..foundation.errors import InputError
from ..kernels.sets import alike
from ..read.files import InputFile, list_input
from ..read.records import Reading, read_file
from .fuzzy import keyer, shingles
from .keys import Keys
from .normal import compared
from .settings import FuzzyDedup
from .standalone import DedupRecall


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How candidates compare with true pairs; shares are None where there is nothing to divide by."""

    documents: int
    jaccard: float
    true_pairs: int
    candidate_pairs: int
    recall: float | None
    precision: float | None
    promise: str


def run(settings: DedupRecall) -> Measured:
    """Compare all pairs of a sample. Raises InputError where there are not two documents."""
    texts = list(sample_of(settings))
    if len(texts) < 2:
        raise InputError(f"input={settings.input}: holds {len(texts)} documents that can be read; two are the least")
    return measure(texts, settings)


def sample_of(settings: DedupRecall) -> Iterator[str]:
    """Texts of neighbouring documents from places spread evenly over the files, so that copies are met as well."""
    files = list_input(settings.input).files
    page = next((file for file in files if file.format in ("warc", "html")), None)
    if page is not None:
        raise InputError(f"{page.path} holds HTML; run `extract` first")
    each = max(1, -(-settings.sample // len(files)))
    left = settings.sample
    for file in files:
        for text in some_of(file, min(each, left), settings.text_field):
            left -= 1
            yield text


def some_of(file: InputFile, count: int, text_field: str) -> Iterator[str]:
    """The first texts of a file."""
    for record in read_file(file, Reading(text_field=text_field)):
        if count <= 0:
            return
        if isinstance(record, Document):
            count -= 1
            yield record.text


def measure(texts: Sequence[str], settings: FuzzyDedup) -> Measured:
    """Recall and precision of the candidates (pairs with an equal band) among all pairs of `texts`."""
    table = pa.table({"text": pa.array(texts, pa.string())})
    found = candidates(keyer(settings)(table))
    hashes, starts = shingles(compared(table, ignore_case_and_space=settings.ignore_case_and_space), settings)
    sets = [np.unique(hashes[a:b]) for a, b in pairwise(starts)]
    true = like_pairs(sets, settings.jaccard)
    both = len(true & found)
    return Measured(
        documents=len(texts),
        jaccard=settings.jaccard,
        true_pairs=len(true),
        candidate_pairs=len(found),
        recall=both / len(true) if true else None,
        precision=both / len(found) if found else None,
        promise=settings.promise(),
    )


def candidates(keys: Keys) -> set[tuple[int, int]]:
    """Pairs of documents with an equal key in some band."""
    pairs: set[tuple[int, int]] = set()
    for band in keys:
        order = np.argsort(band, kind="stable")
        edges = np.flatnonzero(np.diff(band[order])) + 1
        for members in np.split(order, edges):
            ordered = sorted(members.tolist())
            pairs.update((a, b) for i, a in enumerate(ordered) for b in ordered[i + 1 :])
    return pairs


def like_pairs(sets: Sequence[Keys], least: float) -> set[tuple[int, int]]:
    """Pairs of sets whose Jaccard similarity is `least` or more, by comparing all of them."""
    starts = np.concatenate([[0], np.cumsum([len(each) for each in sets])])
    values, rows = np.concatenate(sets), range(len(sets))
    return {(row, int(other)) for row in rows for other in alike(values, starts, row, least)}
