"""Which scores there are, and what computes them; a family is imported when one of its scores is asked for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...foundation.errors import ConfigError, InputError
from ...foundation.settings import did_you_mean
from .resources import Resources

Scores = npt.NDArray[np.float64]
COLUMN_PREFIX = "score_"
FAMILIES = (
    "gopher",
    "characters",
    "nemo_lines",
    "nemo_repetition",
    "urls",
    "datatrove",
    "c4",
    "repetition",
    "data_juicer",
    "lists",
    "code",
    "tokens",
    "perplexity",
    "table",
)
OF_WORDS = frozenset(
    [
        "words",
        "mean_word_length",
        "symbols_per_word",
        "alphabetic_words",
        "stop_words",
        "longest_word",
        "word_repetition",
        "flagged_words",
        "stop_word_share",
        "listed_stop_words",
        "newlines_per_word",
    ]
)
OF_ALL_CHARACTERS = ("datatrove_top", "datatrove_dup", "nemo_top", "nemo_dup")  # shares of the text as it was


@dataclass(frozen=True)
class Family:
    """Scores computed in one pass: `compute` goes from documents and resources to a column per name."""

    name: str
    scores: Mapping[str, str]
    compute: Any


@cache
def family(name: str) -> Family:
    """The family of this name."""
    module = import_module(f"{__package__}.{name}")
    return Family(name, module.SCORES, module.compute)


@cache
def homes() -> dict[str, str]:
    """The family of every score."""
    return {score: name for name in FAMILIES for score in family(name).scores}


def abouts() -> dict[str, str]:
    """What every score is."""
    return {score: about for name in FAMILIES for score, about in family(name).scores.items()}


def compute(
    documents: pa.Table, wanted: Iterable[str], resources: Resources | None = None, *, afresh: bool = False
) -> dict[str, Scores]:
    """The wanted scores of every document; taken from its columns ``score_*`` where they are there, unless `afresh`.

    Raises ConfigError for an unknown score, InputError where a column that a score reads is missing.
    """
    known = homes()
    found: dict[str, Scores] = {}
    for score in dict.fromkeys(wanted):
        if score not in known:
            raise ConfigError(f"unknown score {score!r}{did_you_mean(score, known)}")
        if not afresh and (ready := ready_column(documents, score)) is not None:
            found[score] = ready
        elif score not in found:
            found.update(scores_of(family(known[score]), documents, resources or Resources()))
    return {score: found[score] for score in dict.fromkeys(wanted)}


def scores_of(family: Family, documents: pa.Table, resources: Resources) -> dict[str, Scores]:
    """The scores of a family; those of words on segmented texts, where that is asked for and changes any."""
    found: dict[str, Scores] = family.compute(documents, resources)
    if resources.segment == "none" or not any(map(counts_words, family.scores)):
        return found
    from ..segment import segmented

    texts = texts_of(documents)
    cut = segmented(texts, resources.segment)
    if cut == texts:
        return found
    position = documents.schema.get_field_index("text")
    on_words = family.compute(documents.set_column(position, "text", pa.array(cut, pa.string())), resources)
    longer = np.array([len(new) / max(len(old), 1) for new, old in zip(cut, texts, strict=True)])
    scale = {name: longer if name.startswith(OF_ALL_CHARACTERS) else 1.0 for name in family.scores}
    return {name: on_words[name] * scale[name] if counts_words(name) else found[name] for name in found}


def counts_words(score: str) -> bool:
    """Whether a score depends on where words end."""
    for prefix in ("datatrove_", "nemo_", "data_juicer_"):
        score = score.removeprefix(prefix)
    return score in OF_WORDS or score.endswith(("_gram", "_grams"))


def ready_column(documents: pa.Table, score: str) -> Scores | None:
    """A score that the documents have as a column already; None where they do not, or not for all of them."""
    column = COLUMN_PREFIX + score
    if column not in documents.column_names or documents[column].null_count:
        return None
    if not pa.types.is_floating(documents[column].type):
        return None
    ready: Scores = documents[column].to_numpy().astype(np.float64)
    return ready


def texts_of(documents: pa.Table) -> list[str]:
    """The texts; InputError where there is no such column."""
    if "text" not in documents.column_names:
        raise InputError(f"no column 'text' to score; the columns are {', '.join(documents.column_names)}")
    return [text or "" for text in documents["text"].to_pylist()]
