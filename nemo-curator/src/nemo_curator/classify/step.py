"""The classify step at work: what the model says of a batch, as columns, and who stays by it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..document import Verdict
from ..foundation.backend import Backend, load_backend
from ..foundation.errors import ConfigError
from .settings import Classify

BACKENDS = {"transformers": Backend(module="nemo_curator.classify.transformers_backend", extra="classify")}


def classifier(settings: Classify) -> Callable[[pa.Table], Verdict]:
    """The step as a function from a batch to its verdict."""
    model = open_model(settings)
    unknown = [label for label in settings.keep_labels if label not in model.labels]
    if unknown:
        raise ConfigError(f"keep_labels: the model has no label {unknown[0]!r}; it has {', '.join(model.labels)}")

    def step(documents: pa.Table) -> Verdict:
        texts = [text or "" for text in documents["text"].to_pylist()]
        answers = model.classify(texts)
        reasons, details = faults(answers["label"], answers["score"], settings)
        scores = np.array(answers["score"], np.float64)
        return Verdict(
            documents=with_answers(documents, answers, settings),
            reason=pa.array(reasons, pa.string()),
            detail=pa.array(details, pa.string()),
            scores={f"{settings.prefix}_score": scores},
        )

    return step


def with_answers(documents: pa.Table, answers: Mapping[str, Sequence[Any]], settings: Classify) -> pa.Table:
    """`documents` with the columns that the step adds."""
    for field in settings.columns():
        if field.name in documents.column_names:
            documents = documents.drop_columns([field.name])
        values = answers[field.name.removeprefix(f"{settings.prefix}_")]
        documents = documents.append_column(field, pa.array(values, field.type))
    return documents


def faults(
    labels: Sequence[str], scores: Sequence[float], settings: Classify
) -> tuple[list[str | None], list[str | None]]:
    """Why each document is dropped, and the figures; None where it stays."""
    reasons: list[str | None] = []
    for label, score in zip(labels, scores, strict=True):
        reason = "label_not_wanted" if settings.keep_labels and label not in settings.keep_labels else None
        if reason is None and settings.min_score is not None and score < settings.min_score:
            reason = "classifier_score_too_low"
        reasons.append(reason)
    details = [f"{settings.prefix} {label} {score:.4g}" for label, score in zip(labels, scores, strict=True)]
    return reasons, list(details)


def open_model(settings: Classify) -> Any:
    """The model that the settings name."""
    module = load_backend("classifier", "transformers", BACKENDS, package="nemo-curator")
    check_folder(settings.model)
    return module.load(settings)


def check_folder(folder: Path) -> None:
    """Raise ConfigError unless the folder holds a model without code or pickles of its own."""
    if not (folder / "config.json").is_file():
        raise ConfigError(f"model={folder}: holds no config.json; name the folder of a Hugging Face model")
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(f"model={folder}: holds no *.safetensors; pickled weights are not read, convert them first")
