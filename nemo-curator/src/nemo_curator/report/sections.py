"""The other parts of the page: funnel, languages, scores, groups of duplicates, what each step cost."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from html import escape
from typing import Any, TypeVar

from ..classify.settings import Classify, FastText
from ..filter.rules import RULES
from ..filter.thresholds import Quality
from ..foundation.settings import Sourced, convert
from ..language.identify import Language
from .charts import bar, duration, histogram, number, rate, row, share, size, words

Stats = Mapping[str, Any]
Settings = TypeVar("Settings")
LANGUAGES_SHOWN = 12
LEAST: Mapping[str, type[Any]] = {"language": Language, "fasttext": FastText, "classify": Classify}
GROUP_SIZES = (("2", 2, 2), ("3", 3, 3), ("4 to 9", 4, 9), ("10 to 99", 10, 99), ("100 and more", 100, 1 << 62))
BAR_LEGEND = '<p class="legend"><i class="keep"></i>stay<i class="drop"></i>dropped by this step</p>'
SCORE_LEGEND = (
    '<p class="legend"><i class="accent"></i>within the limits<i class="drop"></i>beyond them'
    '<i class="line"></i>limit; heights are square roots of counts</p>'
)


def funnel(stats: Stats) -> str:
    """Documents and bytes behind each step, and those it dropped."""
    whole = max([stats["documents_in"], *(step["documents"] for step in stats["funnel"])])
    most = max((step["bytes"] for step in stats["funnel"]), default=0)
    rows = []
    for step in stats["funnel"]:
        gone = sum(step["dropped"].values())
        went = f'<b class="minus">−{number(gone)}</b>' if gone else '<span class="none">none dropped</span>'
        rows.append(
            f'<div class="step"><span class="name">{words(step["step"])}</span>'
            f"<span>{bar([('keep', step['documents']), ('drop', gone)], whole=whole)}"
            f"{bar([('bytes', step['bytes'])], whole=most)}</span>"
            f'<span class="number"><b>{number(step["documents"])}</b> · {size(step["bytes"])}<br>{went}</span></div>'
        )
    legend = BAR_LEGEND.replace("</p>", '<i class="bytes"></i>bytes of pages or texts</p>')
    return "".join(rows) + legend


def languages(stats: Stats) -> str:
    """Documents by language, those beyond the first dozen together."""
    found = [(name or "not identified", count) for name, count in stats["languages"].items()]
    shown, rest = found[:LANGUAGES_SHOWN], found[LANGUAGES_SHOWN:]
    if rest:
        shown.append((f"{len(rest)} others", sum(count for _, count in rest)))
    whole = sum(count for _, count in found)
    most = max((count for _, count in shown), default=0)
    return "".join(
        row(name, [("accent", count)], f"{number(count)} · {share(count, whole)}", whole=most) for name, count in shown
    )


def scores(stats: Stats, config: Mapping[str, Any]) -> str:
    """Distributions of the scores with their limits, those that nothing limits last."""
    drawn: dict[str, str] = {}
    for score, least in least_scores(config).items():
        if score in stats["histograms"]:
            drawn[score] = histogram(score, stats["histograms"][score], low=least, high=None)
    for quality in qualities(config):
        for score, bounds in limits_by_score(quality).items():
            if score in stats["histograms"] and score not in drawn:
                counts = stats["histograms"][score]
                drawn[score] = histogram(score, counts, low=bounds.get("min"), high=bounds.get("max"))
    for score, counts in stats["histograms"].items():
        if score not in drawn:
            drawn[score] = histogram(score, counts, low=None, high=None)
    return f'<div class="grid">{"".join(drawn.values())}</div>{SCORE_LEGEND}' if drawn else ""


def limits_by_score(quality: Quality) -> dict[str, dict[str, float]]:
    """By score, its least and greatest value in force, where there is one."""
    limits = quality.limits()
    found: dict[str, dict[str, float]] = {}
    for rule in RULES:
        if rule.threshold in limits:
            found.setdefault(quality.score_of(rule.score), {})[rule.threshold[:3]] = limits[rule.threshold]
    for name, own in quality.custom.items():
        bounds = {"min": own.min, "max": own.max}
        found[name.rpartition(":")[2]] = {side: limit for side, limit in bounds.items() if limit is not None}
    return found


def least_scores(config: Mapping[str, Any]) -> dict[str, float]:
    """By score of a language or a classifier, the least that a document stays with."""
    found: dict[str, float] = {}
    for step in config["pipeline"]:
        for name, values in step.items() if isinstance(step, Mapping) else ():
            if name in LEAST:
                settings = known(LEAST[name], values)
                found.update(least_score(settings))
    return found


def least_score(settings: Any) -> dict[str, float]:
    """The score of one such step and its limit; none where nobody goes by it."""
    match settings:
        case Language(keep=[_, *_]):
            return {"language_score": settings.threshold}
        case FastText(keep="above"):
            return {settings.column: settings.min_score}
        case Classify(min_score=float() | int() as least):
            return {f"{settings.prefix}_score": least}
    return {}


def changes(stats: Stats) -> str:
    """How often passages of each kind were replaced."""
    found = sorted(stats.get("changes", {}).items(), key=lambda item: (-item[1], item[0]))
    most = max((count for _, count in found), default=0)
    return "".join(row(kind, [("accent", count)], number(count), whole=most) for kind, count in found)


def qualities(config: Mapping[str, Any]) -> Iterator[Quality]:
    """The quality steps of a pipeline."""
    for step in config["pipeline"]:
        if isinstance(step, Mapping) and "quality" in step:
            yield known(Quality, step["quality"])


def known(cls: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Settings from a manifest, whose keys this version need not know."""
    names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    return convert(cls, Sourced({name: value for name, value in values.items() if name in names}, {}))


def duplicate_groups(stats: Stats) -> str:
    """How large groups of duplicates are, and whom the largest gathered round."""
    parts = []
    for reason, found in stats.get("duplicate_groups", {}).items():
        sizes = {int(each): count for each, count in found["sizes"].items()}
        ranges = [(name, sum(n for s, n in sizes.items() if low <= s <= high)) for name, low, high in GROUP_SIZES]
        most = max(count for _, count in ranges)
        rows = "".join(
            row(f"{name} documents", [("accent", count)], f"{number(count)} group{'s' * (count != 1)}", whole=most)
            for name, count in ranges
            if count
        )
        parts.append(f"<h3>{words(reason)}</h3>{rows}{largest(found['largest'])}")
    return "".join(parts)


def largest(found: list[Mapping[str, Any]]) -> str:
    """The largest groups, by the document that stays."""
    lines = "".join(
        f"<li><b>{number(each['documents'])}</b> <code>{escape(each['survivor'])}</code></li>" for each in found[:5]
    )
    return f'<p class="legend">Largest groups, each with the document that stays:</p><ol class="largest">{lines}</ol>'


def costs(stats: Stats) -> str:
    """What each step cost, and how fast it was."""
    if "costs" not in stats:  # a manifest of an earlier version
        plain = stats.get("seconds", {})
        most = max(plain.values(), default=0)
        return "".join(row(name, [("accent", spent)], duration(spent), whole=most) for name, spent in plain.items())
    entering = documents_entering(stats)
    most = max((cost["seconds"] for cost in stats["costs"].values()), default=0)
    lines = "".join(cost_line(name, cost, entering.get(name), most=most) for name, cost in stats["costs"].items())
    head = "".join(
        f"<th>{title}</th>" for title in ("step", "worker time", "CPU", "documents/s", "MB/s", "peak memory")
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
        '<p class="legend">Time is that of all workers together; rates are of one worker, by the documents and bytes '
        "that enter the step; memory is the most that a worker held during it.</p>"
    )


def cost_line(name: str, cost: Mapping[str, float], entering: tuple[int, int] | None, *, most: float) -> str:
    """One row of the table."""
    spent = cost["seconds"]
    speeds = (
        [rate(each / spent) if spent else "–" for each in (entering[0], entering[1] / 1e6)] if entering else ["–"] * 2
    )
    cells = [duration(spent), duration(cost["cpu_seconds"]), *speeds, size(cost["peak_bytes"])]
    drawn = bar([("accent", spent)], whole=most)
    return f"<tr><th>{words(name)}{drawn}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def documents_entering(stats: Stats) -> dict[str, tuple[int, int]]:
    """Documents and bytes that enter each step; a step that comes twice has both."""
    found: dict[str, tuple[int, int]] = {}
    before = (stats["documents_in"], stats["bytes_in"])
    for step in stats["funnel"]:
        already = found.get(step["step"], (0, 0))
        found[step["step"]] = (already[0] + before[0], already[1] + before[1])
        before = (step["documents"], step["bytes"])
    return found
