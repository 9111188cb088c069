"""Scores of documents as columns, and the verdict that thresholds pass on them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from ..document import Verdict
from ..language.stop_words import stop_words
from .custom import score_function
from .rules import RULES, Scores
from .scores import gopher, registry
from .scores.lists import AUTO
from .scores.resources import Resources
from .thresholds import Limits, Quality


def score(text: pa.Array | pa.ChunkedArray) -> dict[str, Scores]:
    """Every score of Gopher's rules for every text, by name."""
    return gopher.compute(pa.table({"text": text}), Resources())


def first_faults(
    scores: Mapping[str, Scores], limits: Mapping[str, float], defined: Mapping[str, str] | None = None
) -> tuple[list[str | None], list[str | None]]:
    """For each document the first rule it breaks and the figures behind that; None where it breaks none.

    `defined` says which score a rule looks at, where that is not the one it names.
    """
    rows = len(next(iter(scores.values()), ()))
    reasons: list[str | None] = [None] * rows
    details: list[str | None] = [None] * rows
    for rule in RULES:
        if rule.threshold not in limits:
            continue
        limit = limits[rule.threshold]
        name = (defined or {}).get(rule.score, rule.score)
        for row in np.flatnonzero(rule.at_fault(scores[name], limit)):
            if reasons[row] is None:
                reasons[row] = rule.reason
                details[row] = f"{name} {figure(scores[name][row])}, {rule.threshold} {figure(limit)}"
    return reasons, details


def figure(value: float) -> str:
    """Four digits, or a whole number where that has more: 0.4926, 384100."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def custom_faults(
    scores: Mapping[str, Scores], custom: Mapping[str, Limits], reasons: list[str | None], details: list[str | None]
) -> None:
    """Fill in the faults by scores of the user's own, for documents that have none yet."""
    for name, limits in custom.items():
        low = scores[name] < (-np.inf if limits.min is None else limits.min)
        high = scores[name] > (np.inf if limits.max is None else limits.max)
        for row in np.flatnonzero(low | high):
            if reasons[row] is None:
                fault = f"{short(name)}_{'too_low' if low[row] else 'too_high'}"
                reasons[row] = limits.reason or fault
                bound = f"min {figure(limits.min or 0)}" if low[row] else f"max {figure(limits.max or 0)}"
                details[row] = f"{short(name)} {figure(scores[name][row])}, {bound}"


def judge(settings: Quality) -> Callable[[pa.Table], Verdict]:
    """The quality step for these settings."""
    limits, resources = settings.limits(), resources_of(settings)
    functions = {name: score_function(name) for name in settings.custom}

    def step(documents: pa.Table) -> Verdict:
        scores = registry.compute(documents, shown(settings), resources, afresh=settings.afresh)
        scores |= {name: function(documents) for name, function in functions.items()}
        reasons: list[str | None] = [None] * documents.num_rows
        details: list[str | None] = [None] * documents.num_rows
        if settings.drop and scores:
            reasons, details = first_faults(scores, limits, definitions_of(settings))
            custom_faults(scores, settings.custom, reasons, details)
        if settings.keep_scores:
            documents = with_scores(documents, scores)
        return Verdict(
            documents=documents,
            reason=pa.array(reasons, pa.string()),
            detail=pa.array(details, pa.string()),
            scores={short(name): values for name, values in scores.items()},
        )

    return step


def definitions_of(settings: Quality) -> dict[str, str]:
    """Which score each rule looks at."""
    return {rule.score: settings.score_of(rule.score) for rule in RULES}


def resources_of(settings: Quality) -> Resources:
    """The files that scores need. Raises ConfigError for one that is not there, or a language without stop words."""
    resources = Resources(
        flagged_words=settings.flagged_words,
        stop_words=settings.stop_words,
        stop_word_language=settings.stop_word_language,
        segment=settings.segment,
        tokenizer=settings.tokenizer,
        ngram_model=settings.ngram_model,
        comments_of=settings.comments_of,
        language_column=settings.language_column,
        extension_column=settings.extension_column,
    )
    for name in ("flagged_words", "stop_words", "tokenizer", "ngram_model"):
        if getattr(resources, name) is not None:
            resources.need(name, why="it was named")
    if settings.stop_word_language and settings.stop_word_language != AUTO and not settings.stop_words:
        stop_words(settings.stop_word_language)
    return resources


def shown(settings: Quality) -> list[str]:
    """Scores that a limit looks at, in order, and those asked for without one."""
    limits = settings.limits()
    judged = [settings.score_of(rule.score) for rule in RULES if rule.threshold in limits]
    return list(dict.fromkeys([*judged, *settings.extra_scores]))


def short(name: str) -> str:
    """A score's name as a column and a reason have it: the function's, of a module:function."""
    return name.rpartition(":")[2]


def added_columns(settings: Quality) -> list[pa.Field]:
    """The score columns that the step writes."""
    names: Sequence[str] = [*shown(settings), *settings.custom] if settings.keep_scores else []
    return [pa.field(registry.COLUMN_PREFIX + short(name), pa.float64()) for name in names]


def with_scores(documents: pa.Table, scores: Mapping[str, Scores]) -> pa.Table:
    """`documents` with a column for each score."""
    for name, values in scores.items():
        column = registry.COLUMN_PREFIX + short(name)
        if column in documents.column_names:
            documents = documents.drop_columns([column])
        documents = documents.append_column(column, pa.array(values, pa.float64()))
    return documents
