"""What the model learned: per training stage the figures before and after, and the curves between."""

from collections.abc import Mapping, Sequence

from .. import figures
from ..charts import Line, line_chart
from ..charts.line import running_mean
from ..markup import EMPTY, Html, details, section, tag
from ..measures import PARTS, VALIDATION, Measure, measure, part_of_reward
from ..view import Learning, Run, Series
from .summary import OBJECTIVES, tone

MAIN = ("loss", "preference_accuracy", "margin", "reward", "kl", "response_tokens")
SMOOTH_ABOVE = 40
SMOOTH_SHARE = 0.025


def render(run: Run) -> Html:
    """One part per training stage, in order."""
    if not run.learnings:
        return EMPTY
    return section(
        "What the model learned",
        [_stage(learning) for learning in run.learnings],
        anchor="learning",
        lead="Figures before and after are measured on held-out data by the same code.",
    )


def _stage(learning: Learning) -> Html:
    title = OBJECTIVES.get(learning.objective, learning.objective)
    same = learning.stage.lower() in (title.lower(), learning.objective.lower())
    groups = group(learning.curves)
    shown = main_charts(groups)
    main = [_chart(base, groups[base]) for base in shown]
    other = [_chart(base, series) for base, series in groups.items() if base not in shown]
    return tag(
        "article",
        tag("h3", title, None if same else tag("small", f" {learning.stage}")),
        tag("p", facts(learning), cls="facts"),
        tag("div", _before_after(learning), main, cls="charts"),
        details(f"{len(other)} more curves", tag("div", other, cls="charts"), cls="more") if other else None,
        _not_finite(learning.curves),
        cls="learning",
    )


def facts(learning: Learning) -> str:
    """Size and length of the training, as far as recorded."""
    known = [
        f"{figures.short_count(learning.parameters)} parameters" if learning.parameters else "",
        f"{figures.count(learning.steps)} steps" if learning.steps is not None else "",
        f"{figures.short_count(learning.tokens)} tokens" if learning.tokens else "",
        figures.duration(learning.seconds) if learning.seconds is not None else "",
    ]
    return " · ".join(fact for fact in known if fact)


def _before_after(learning: Learning) -> Html:
    names = list(dict.fromkeys([*learning.before, *learning.after]))
    if not names:
        return tag("p", "No figures before and after were recorded.", cls="empty")
    rows = [_before_after_row(name, learning.before.get(name), learning.after.get(name)) for name in names]
    head = tag("tr", [tag("th", title, scope="col") for title in ("Held-out figure", "before", "after", "change")])
    table = tag("table", tag("thead", head), tag("tbody", rows), cls="before-after")
    return tag("div", table, cls="table-frame")


def _before_after_row(name: str, before: float | None, after: float | None) -> Html:
    reading = measure(name)
    return tag(
        "tr",
        tag("th", reading.label, scope="row"),
        tag("td", reading.show(before)),
        tag("td", tag("strong", reading.show(after))),
        _change(reading, before, after),
    )


def _change(reading: Measure, before: float | None, after: float | None) -> Html:
    if before is None or after is None:
        return tag("td", figures.MISSING)
    sign = "▲" if after > before else "▼" if after < before else "="
    amount = reading.show(abs(after - before)).replace("%", " pt")
    verdict = tone(reading, before, after)
    word = {"good": " (improved)", "bad": " (worse)"}.get(verdict, "")
    return tag("td", f"{sign} {amount}", tag("span", word, cls="unseen"), cls=verdict)


def group(curves: Sequence[Series]) -> Mapping[str, list[Series]]:
    """Curves that share a chart: a metric with its held-out twin, the reward with its parts; the known ones first."""
    groups: dict[str, list[Series]] = {}
    for series in curves:
        base = "reward" if series.name.startswith(PARTS) else series.name.removeprefix(VALIDATION)
        groups.setdefault(base, []).append(series)
    order = sorted(groups, key=lambda base: MAIN.index(base) if base in MAIN else len(MAIN))
    return {base: sorted(groups[base], key=lambda series: series.name != base) for base in order}


def main_charts(groups: Mapping[str, list[Series]]) -> list[str]:
    """The charts to show at once; where a reward is raised, the loss says nothing of success and stands back."""
    return [base for base in groups if base in MAIN and not (base == "loss" and "reward" in groups)]


def _chart(base: str, series: Sequence[Series]) -> Html:
    reading = measure(base)
    title = f"{reading.label} (running means)" if sum(map(_is_noisy, series)) > 1 else reading.label
    return line_chart(lines(base, series), title=title, show=reading.show, share=reading.share)


def _is_noisy(series: Series) -> bool:
    return len(series.points) > SMOOTH_ABOVE


def lines(base: str, series: Sequence[Series]) -> list[Line]:
    """The lines of a chart: of a long noisy one the running mean, and behind it the values if it is alone."""
    drawn: list[Line] = []
    alone = sum(map(_is_noisy, series)) == 1
    for index, item in enumerate(series):
        label, colour = line_label(base, item.name), index % 8 + 1
        if not _is_noisy(item):
            drawn.append(Line(label=label, points=item.points, colour=colour))
            continue
        mean = running_mean(item.points, reach=max(1, round(SMOOTH_SHARE * len(item.points))))
        if alone:
            drawn.append(Line(label=label, points=item.points, colour=colour, weight="light"))
        drawn.append(Line(label="running mean" if alone else label, points=mean, colour=colour))
    return drawn


def line_label(base: str, name: str) -> str:
    """What a line is called within its chart."""
    if name.startswith(VALIDATION):
        return "held-out"
    if name.startswith(PARTS):
        return part_of_reward(name).replace("_", " ")
    return {"reward": "total"}.get(base, "training")


def _not_finite(curves: Sequence[Series]) -> Html:
    torn = [f"{series.name} ({series.not_finite})" for series in curves if series.not_finite]
    return (
        tag("p", f"Values that are not finite and so not drawn: {', '.join(torn)}.", cls="warning") if torn else EMPTY
    )
