"""The opening: what was done, the headline figures, and the answer of the served model."""

from collections.abc import Iterable, Mapping, Sequence

from .. import figures
from ..markup import EMPTY, Html, prose, tag
from ..measures import Measure, held_out, measure
from ..view import Curation, Exchange, Learning, Run
from .states import badge

HEADLINES: Mapping[str, tuple[str, ...]] = {
    "pretrain": ("validation_loss", "loss"),
    "sft": ("validation_loss", "loss"),
    "dpo": ("preference_accuracy", "validation_preference_accuracy"),
    "grpo": ("reward", "validation_reward"),
}
OBJECTIVES = {"pretrain": "Pretraining", "sft": "Fine-tuning", "dpo": "DPO", "grpo": "GRPO"}
DEEDS = {**OBJECTIVES, "pretrain": "pretraining", "sft": "fine-tuning"}


def render(run: Run) -> Html:
    """The head of the page."""
    return tag(
        "header",
        tag("p", "Workflow run ", badge(run.state), cls="eyebrow"),
        tag("h1", run.name),
        tag("p", sentence(run), cls="sentence"),
        tag("p", when(run), cls="when"),
        answer_card(run.exchanges),
        tiles(run),
        cls="hero",
        id="summary",
    )


def sentence(run: Run) -> str:
    """What the run did, in one sentence."""
    deeds = [*(documents_deed(c) for c in run.curations[:1]), *learning_deeds(run.learnings)]
    if run.exchanges:
        deeds.append("the result was served and asked")
    deeds = [deed for deed in deeds if deed]
    done = sum(stage.state in ("done", "reused") for stage in run.stages)
    tail = f"{done} of {len(run.stages)} stages finished" + (
        f" in {figures.duration(run.seconds)}." if run.seconds is not None else "."
    )
    text = "; ".join([*deeds, tail])
    return text[:1].upper() + text[1:]


def documents_deed(curation: Curation) -> str:
    """The curation in a clause; empty where the numbers are unknown."""
    if curation.documents_in is None or curation.documents_out is None:
        return ""
    before, after = figures.count(curation.documents_in), figures.count(curation.documents_out)
    return f"{before} raw documents became {after} clean ones"


def learning_deeds(learnings: Iterable[Learning]) -> list[str]:
    """The training stages in a clause."""
    known = list(learnings)
    if not known:
        return []
    size = next((item.parameters for item in known if item.parameters), None)
    names = enumeration([DEEDS.get(item.objective, item.objective) for item in known])
    model = f"a model of {figures.short_count(size)} parameters" if size else "a model"
    return [f"{model} went through {names}"]


def enumeration(words: Sequence[str]) -> str:
    """The words with commas and a last "and"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def when(run: Run) -> str:
    """Start and folder of the run."""
    started = f"Started {run.started} · " if run.started else ""
    return f"{started}{run.folder}"


def answer_card(exchanges: tuple[Exchange, ...]) -> Html:
    """The first question that the served model answered."""
    if not exchanges:
        return EMPTY
    first = exchanges[0]
    facts = [first.model, figures.duration(first.seconds) if first.seconds is not None else ""]
    return tag(
        "div",
        tag("p", "The served model answers", cls="card-title"),
        tag("dl", tag("dt", "Q"), tag("dd", prose(first.question)), tag("dt", "A"), tag("dd", prose(first.answer))),
        tag("p", " · ".join(fact for fact in facts if fact), cls="card-note"),
        cls="answer-card",
    )


def tiles(run: Run) -> Html:
    """The headline figures side by side."""
    found = [document_tile(c) for c in run.curations] + [learning_tile(item) for item in run.learnings]
    kept = [tile for tile in found if tile]
    return tag("ul", kept, cls="tiles", aria_label="Headline figures") if kept else EMPTY


def document_tile(curation: Curation) -> Html:
    """Documents in → out."""
    before, after = curation.documents_in, curation.documents_out
    if before is None or after is None:
        return EMPTY
    note = f"{figures.percent(after / before)} kept" if before else "nothing came in"
    return tile("Documents", figures.count(before), figures.count(after), note=note, tone="neutral")


def learning_tile(learning: Learning) -> Html:
    """The figure that the objective is about, before → after."""
    name = headline(learning)
    if name is None:
        return EMPTY
    reading = measure(name)
    before, after = learning.before[name], learning.after[name]
    label = reading.label if name.startswith("validation_") else held_out(reading.label)
    title = f"{OBJECTIVES.get(learning.objective, learning.objective)}: {label[0].lower()}{label[1:]}"
    return tile(
        title,
        reading.show(before),
        reading.show(after),
        note=change(reading, before, after),
        tone=tone(reading, before, after),
    )


def headline(learning: Learning) -> str | None:
    """The metric to show of a training stage: the objective's own, else the first with both values."""
    both = [name for name in learning.after if name in learning.before]
    wanted = HEADLINES.get(learning.objective, ())
    return next((name for name in wanted if name in both), both[0] if both else None)


def change(reading: Measure, before: float, after: float) -> str:
    """The difference in words."""
    if reading.share:
        return f"{100 * (after - before):+.1f} points"
    sign = "+" if after >= before else "−"
    return f"{sign}{figures.figure(abs(after - before))}"


def tone(reading: Measure, before: float, after: float) -> str:
    """Whether the change is what one hopes for."""
    if reading.better == "neither" or after == before:
        return "neutral"
    return "good" if (after < before) == (reading.better == "lower") else "bad"


def tile(title: str, before: str, after: str, *, note: str, tone: str) -> Html:
    """One headline figure."""
    sign = {"good": "improved: ", "bad": "worse: "}.get(tone, "")
    return tag(
        "li",
        tag("span", title, cls="tile-title"),
        tag(
            "span",
            tag("span", before, cls="before"),
            tag("span", " → ", cls="arrow", role="img", aria_label="to"),
            tag("strong", after),
            cls="tile-figure",
        ),
        tag("span", tag("span", sign, cls="unseen"), note, cls=f"tile-note {tone}"),
        cls="tile",
    )
