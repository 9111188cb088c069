"""Where documents went: what was left after each step, why the others were dropped, and in which languages."""

from collections.abc import Mapping
from itertools import pairwise

from .. import figures
from ..charts import Part, bar
from ..markup import EMPTY, Html, details, join, prose, section, tag
from ..measures import words
from ..view import Curation, Example, FunnelStep, Reason, Run

MAX_LANGUAGES = 7


def render(run: Run) -> Html:
    """One part per stage that made documents."""
    if not run.curations:
        return EMPTY
    pages = {artifact.stage: artifact.pages for artifact in run.artifacts}
    return section(
        "Where documents went",
        [_curation(c, pages=pages, alone=len(run.curations) == 1) for c in run.curations],
        anchor="documents",
    )


def _curation(curation: Curation, *, pages: Mapping[str, tuple[str, ...]], alone: bool) -> Html:
    return join(
        None if alone else tag("h3", curation.stage, cls="of-stage"),
        tag("p", lead(curation), cls="lead"),
        _funnel(curation),
        _reasons(curation),
        _languages(curation),
        [tag("p", _page_link(page)) for page in pages.get(curation.stage, ())],
    )


def lead(curation: Curation) -> str:
    """In and out, in documents and bytes."""
    if curation.documents_in is None or curation.documents_out is None:
        return "How many documents came in and went out was not recorded."
    kept = curation.documents_out / curation.documents_in if curation.documents_in else None
    volume = (
        f", {figures.size(curation.bytes_in)} became {figures.size(curation.bytes_out)}"
        if curation.bytes_in is not None and curation.bytes_out is not None
        else ""
    )
    return (
        f"Of {figures.count(curation.documents_in)} documents {figures.count(curation.documents_out)} "
        f"({figures.percent(kept)}) were kept{volume}. Each of the others has a reason."
    )


def _page_link(page: str) -> Html:
    from urllib.parse import quote

    return tag("a", f"The full report of this stage: {page}", href=f"./{quote(page)}")


def _funnel(curation: Curation) -> Html:
    whole = curation.documents_in or max((step.documents for step in curation.steps), default=0)
    if not curation.steps or not whole:
        return EMPTY
    steps = curation.steps
    if steps[0].documents != whole:
        steps = (FunnelStep(name="came in", documents=whole, dropped={}), *steps)
    rows = [_funnel_row(steps[0], before=whole, whole=whole)]
    rows += [_funnel_row(now, before=was.documents, whole=whole) for was, now in pairwise(steps)]
    return join(tag("h3", "Left after each step"), tag("ol", rows, cls="funnel"))


def _funnel_row(step: FunnelStep, *, before: int, whole: int) -> Html:
    lost = max(before - step.documents, sum(step.dropped.values()))
    parts = [
        Part(value=step.documents, title=f"{figures.count(step.documents)} left", cls="kept"),
        Part(value=lost, title=f"{figures.count(lost)} dropped: {spell(step.dropped)}", cls="dropped"),
    ]
    label = f"{words(step.name)}: {figures.count(step.documents)} left, {figures.count(lost)} dropped"
    return tag(
        "li",
        tag("span", words(step.name), cls="row-name"),
        bar(parts, whole=whole, label=label),
        tag("span", figures.count(step.documents), cls="row-figure"),
        tag("span", f"−{figures.count(lost)}" if lost else "", cls="row-loss"),
    )


def spell(dropped: Mapping[str, int]) -> str:
    """The reasons with their counts, most frequent first."""
    ordered = sorted(dropped.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name.replace('_', ' ')} {figures.count(n)}" for name, n in ordered) or "no reason recorded"


def _reasons(curation: Curation) -> Html:
    if not curation.reasons:
        return EMPTY
    dropped = sum(reason.documents for reason in curation.reasons)
    most = max(reason.documents for reason in curation.reasons)
    rows = [_reason(reason, most=most, dropped=dropped) for reason in curation.reasons]
    return join(tag("h3", "Why documents were dropped"), tag("div", rows, cls="reasons"))


def _reason(reason: Reason, *, most: int, dropped: int) -> Html:
    part = Part(value=reason.documents, title=f"{figures.count(reason.documents)} documents", cls="dropped")
    share = figures.percent(reason.documents / dropped) if dropped else ""
    row = join(
        tag("span", words(reason.name), cls="row-name"),
        bar([part], whole=most, label=f"{figures.count(reason.documents)} documents, {share} of those dropped"),
        tag("span", figures.count(reason.documents), cls="row-figure"),
        tag("span", share, cls="row-loss"),
    )
    if not reason.examples:
        return tag("div", row, cls="reason plain")
    return details(row, [_example(example) for example in reason.examples], cls="reason")


def _example(example: Example) -> Html:
    return tag(
        "article",
        tag("h4", example.title or "Untitled", dir="auto"),
        tag("p", example.detail, cls="detail", dir="auto") if example.detail else None,
        prose(example.excerpt, cls="excerpt") if example.excerpt else None,
        cls="example",
    )


def _languages(curation: Curation) -> Html:
    total = sum(n for _, n in curation.languages)
    if not total:
        return EMPTY
    shown = list(curation.languages[:MAX_LANGUAGES])
    rest = total - sum(n for _, n in shown)
    if rest:
        shown.append(("others", rest))
    parts = [
        Part(value=n, title=f"{name}: {figures.count(n)} ({figures.percent(n / total)})", cls=f"c{index}")
        for index, (name, n) in enumerate(shown, start=1)
    ]
    keys = [
        tag(
            "li",
            tag("i", cls=f"swatch c{index}"),
            tag("b", name),
            f" {figures.percent(n / total)} · {figures.count(n)}",
        )
        for index, (name, n) in enumerate(shown, start=1)
    ]
    return join(
        tag("h3", "Languages"),
        bar(parts, whole=total, label="Documents by language"),
        tag("ul", keys, cls="legend languages"),
    )
