"""Sample answers, model by model, from before the first training stage to after the last."""

from collections.abc import Sequence

from ..markup import EMPTY, Html, details, join, prose, section, tag
from ..view import Evaluation, Run, Sample

NUM_OPEN = 4


def render(run: Run) -> Html:
    """The prompts of every evaluation with each model's answer."""
    shown = [evaluation for evaluation in run.evaluations if evaluation.samples]
    if not shown:
        return EMPTY
    return section(
        "Sample answers",
        [_evaluation(e) for e in shown],
        anchor="answers",
        lead="The same questions, put to every model.",
    )


def _evaluation(evaluation: Evaluation) -> Html:
    cards = [_card(sample, evaluation.models) for sample in evaluation.samples]
    rest = cards[NUM_OPEN:]
    more = details(f"{len(rest)} more questions", rest, cls="more") if rest else None
    return join(cards[:NUM_OPEN], more)


def _card(sample: Sample, models: Sequence[str]) -> Html:
    pairs = [_answer(model, answer) for model, answer in zip(models, sample.answers)]
    reference = (
        tag("div", tag("dt", "reference"), tag("dd", prose(sample.reference)), cls="reference")
        if sample.reference
        else None
    )
    return tag(
        "article",
        tag("h3", tag("bdi", sample.prompt), _origin(sample)),
        tag("dl", pairs, reference, cls="answers"),
        cls="sample",
    )


def _origin(sample: Sample) -> Html | None:
    """Whether the training data held the question."""
    if sample.held_out is None:
        return None
    return tag("small", " held out from training" if sample.held_out else " also in the training data")


def _answer(model: str, answer: str | None) -> Html:
    if answer is None:
        said = tag("dd", "not asked", cls="empty")
    elif not answer.strip():
        said = tag("dd", "an empty answer", cls="empty")
    else:
        said = tag("dd", prose(answer))
    return tag("div", tag("dt", model), said)
