"""The fasttext step at work."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..arrange.stable import fractions
from ..document import Verdict
from ..foundation.errors import ConfigError
from .settings import FastText

PREFIX = "__label__"
PROBE = "the of and to a in is that for it on with as by at"
MOST_LABELS = 10_000


def scorer(settings: FastText) -> Callable[[pa.Table], Verdict]:
    """The step as a function from a batch to its verdict."""
    model = load_model(settings.model)
    known = [str(label).removeprefix(PREFIX) for label in model.predict(PROBE, k=MOST_LABELS)[0]]
    if known and settings.label not in known:
        raise ConfigError(f"label={settings.label}: {settings.model} knows the labels {', '.join(sorted(known)[:20])}")

    def step(documents: pa.Table) -> Verdict:
        texts = documents["text"].to_pylist()
        scores = np.array([score(model, text or "", settings.label) for text in texts], np.float64)
        if settings.column in documents.column_names:
            documents = documents.drop_columns([settings.column])
        documents = documents.append_column(settings.column, pa.array(scores, pa.float64()))
        gone = leaving(scores, documents["id"].to_pylist(), settings)
        return Verdict(
            documents=documents,
            reason=pa.array([reason(settings) if go else None for go in gone], pa.string()),
            detail=pa.array([f"{settings.column} {value:.4g}" for value in scores], pa.string()),
            scores={settings.column: scores},
        )

    return step


def reason(settings: FastText) -> str:
    """The fault of documents that go."""
    return "classifier_score_too_low" if settings.keep == "above" else "not_sampled_by_classifier_score"


def leaving(scores: npt.NDArray[np.float64], ids: list[str], settings: FastText) -> npt.NDArray[np.bool_]:
    """Which documents go.

    A Pareto variable of shape alpha (numpy's: from 0 on) is drawn from the hash of each id; a document stays where it
    exceeds 1 - score (Brown et al. 2020, appendix A).
    """
    if settings.keep == "all":
        return np.zeros(len(scores), bool)
    if settings.keep == "above":
        return scores < settings.min_score
    drawn = (1.0 - fractions(ids, seed=settings.seed, purpose="pareto")) ** (-1.0 / settings.alpha) - 1.0
    return drawn <= 1.0 - scores


def score(model: Any, text: str, label: str) -> float:
    """Probability of the label."""
    line = text.replace("\n", " ").replace("\r", " ").replace("\0", " ").replace(PREFIX, " ")
    names, probabilities = model.predict(line, k=MOST_LABELS)
    rated = {str(name).removeprefix(PREFIX): float(p) for name, p in zip(names, probabilities, strict=True)}
    return min(1.0, rated.get(label, 0.0))


@cache
def load_model(path: Path) -> Any:
    """The model of a file. Raises ConfigError where it is none."""
    import fasttext

    if not path.is_file():
        raise ConfigError(f"model={path}: no such file; train one with train-classifier, or download one")
    try:
        return fasttext.load_model(str(path))
    except (ValueError, RuntimeError, MemoryError) as error:
        raise ConfigError(f"model={path}: no fastText model ({error})") from None
