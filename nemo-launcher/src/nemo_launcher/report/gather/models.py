"""What models answered: evaluations side by side, and what the served one was asked."""

from collections.abc import Mapping
from typing import Any

from ..view import Artifact, Evaluation, Exchange, MetricRow, Sample
from .reading import Reader, integer, items, mapping, number, text

TIMINGS = "logs/timings.jsonl"
Models = Mapping[str, Mapping[str, Any]]


def read_evaluation(artifact: Artifact, reader: Reader) -> Evaluation:
    """The models of results.json side by side, in the order of the file."""
    found = reader.json(
        reader.root / artifact.path / "results.json", why=f"the figures of {artifact.stage} are not shown"
    )
    models = {str(name): mapping(entry) for name, entry in mapping(mapping(found).get("models")).items()}
    return Evaluation(
        stage=artifact.stage, models=tuple(models), metrics=_metric_rows(models), samples=_samples(models)
    )


def _metric_rows(models: Models) -> tuple[MetricRow, ...]:
    tables = [mapping(entry.get("metrics")) for entry in models.values()]
    names = dict.fromkeys(str(name) for table in tables for name in table)
    return tuple(_metric_row(name, [_entry(table.get(name)) for table in tables]) for name in names)


def _entry(value: Any) -> Mapping[str, Any]:
    """A metric's entry; a bare number is its value."""
    return {"value": value} if isinstance(value, int | float) else mapping(value)


def _metric_row(name: str, entries: list[Mapping[str, Any]]) -> MetricRow:
    def first(key: str) -> Any:
        return next((entry[key] for entry in entries if entry.get(key) is not None), None)

    return MetricRow(
        name=name,
        unit=text(first("unit")),
        better=text(first("better")),
        values=tuple(number(entry.get("value")) for entry in entries),
        num_items=integer(first("count")),
    )


def _samples(models: Models) -> tuple[Sample, ...]:
    """Every prompt that any model was given, with all answers to it."""
    answers: dict[str, dict[str, str]] = {}
    references: dict[str, str] = {}
    held_out: dict[str, bool] = {}
    for model, entry in models.items():
        for row in map(mapping, items(entry.get("samples"))):
            prompt = text(row.get("prompt"))
            answers.setdefault(prompt, {})[model] = text(row.get("answer"))
            references[prompt] = references.get(prompt) or text(row.get("reference"))
            if isinstance(row.get("held_out"), bool):
                held_out[prompt] = row["held_out"]
    return tuple(
        Sample(
            prompt=prompt,
            reference=references[prompt],
            answers=tuple(given.get(model) for model in models),
            held_out=held_out.get(prompt),
        )
        for prompt, given in answers.items()
    )


def read_exchanges(artifact: Artifact, reader: Reader) -> tuple[Exchange, ...]:
    """Questions and answers of an endpoint's transcript, with the seconds of its log where that is whole."""
    folder = reader.root / artifact.path
    rows = reader.rows(folder / "transcript.jsonl", why=f"the conversation of {artifact.stage} is not shown")
    timings = reader.rows(folder / TIMINGS)
    if len(timings) != len(rows):
        timings = [{}] * len(rows)
    return tuple(
        Exchange(
            question=text(row.get("question")),
            answer=text(row.get("answer")),
            model=text(row.get("model")),
            seconds=number(timing.get("seconds", row.get("seconds"))),
        )
        for row, timing in zip(rows, timings, strict=True)
    )
