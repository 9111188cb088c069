"""The report of a run: one HTML page without anything from outside."""

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

from ..dedup.settings import FuzzyDedup
from ..filter.rules import RULES
from ..filter.thresholds import Quality
from ..foundation.settings import Sourced, convert
from .charts import figure, histogram, number, row, size

Stats = Mapping[str, Any]
LANGUAGES_SHOWN = 12


def render(stats: Stats, config: Mapping[str, Any]) -> str:
    """The page for a run's figures and its resolved settings."""
    style = (files(__package__) / "style.css").read_text(encoding="utf-8")
    sections = [
        section("Where the documents went", funnel(stats)),
        section("Why documents were dropped", reasons(stats)),
        section("Languages of what is left", languages(stats)),
        section("What the quality rules saw", histograms(stats, config)),
        section("Time", seconds(stats)),
        section("Pipeline", f"<pre>{escape(steps_as_lines(config))}</pre>{promises(config)}"),
    ]
    kept, read = stats["documents_out"], stats["documents_in"]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{number(kept)} of {number(read)} documents kept</title>
<style>
{style}</style>
</head>
<body><main>
<h1>{number(kept)} of {number(read)} documents kept</h1>
<p class="lead">Curated from {escape(str(config["input"]))}. Every record that was dropped is in <code>rejects/</code>
with its reason; <code>nemo-curator explain ID documents=FOLDER</code> tells what happened to one.</p>
<div class="figures">{figures(stats)}</div>
{"".join(sections)}
</main></body>
</html>
"""


def steps_as_lines(config: Mapping[str, Any]) -> str:
    """The pipeline as a recipe has it, a step a line."""
    lines = [f"- {name}: {json.dumps(values)}" for step in config["pipeline"] for name, values in step.items()]
    return "\n".join(["pipeline:", *lines])


def promises(config: Mapping[str, Any]) -> str:
    """What the fuzzy deduplication of a pipeline finds."""
    found = [FuzzyDedup(**step["fuzzy_dedup"]).promise() for step in config["pipeline"] if "fuzzy_dedup" in step]
    return "".join(f'<p class="legend">Fuzzy deduplication with {escape(line)}.</p>' for line in found)


def section(title: str, body: str) -> str:
    """A titled part of the page; nothing where it has no content."""
    return f"<section><h2>{title}</h2>\n{body}\n</section>\n" if body else ""


def figures(stats: Stats) -> str:
    """The figures at the top."""
    read, kept = stats["documents_in"], stats["documents_out"]
    return "".join(
        [
            figure(number(read), "documents read"),
            figure(number(kept), "documents kept"),
            figure(f"{100 * kept / read if read else 0:.1f} %", "of them"),
            figure(size(stats["bytes_in"]), "input, as stored"),
            figure(size(stats["bytes_out"]), "text kept"),
        ]
    )


def funnel(stats: Stats) -> str:
    """Documents behind each step, and those it dropped."""
    whole = stats["documents_in"]
    rows = []
    for step in stats["funnel"]:
        gone = sum(step["dropped"].values())
        note = f"{number(step['documents'])} stay" + (f", {number(gone)} go" if gone else "")
        rows.append(row(step["step"], [("keep", step["documents"]), ("drop", gone)], note, whole=whole))
    legend = '<p class="legend"><i class="keep"></i>stay<i class="drop"></i>dropped by this step</p>'
    return "".join(rows) + legend


def reasons(stats: Stats) -> str:
    """Every reason, most frequent first, with examples to unfold."""
    counts: dict[str, tuple[int, str]] = {}
    for step in stats["funnel"]:
        for reason, count in step["dropped"].items():
            counts[reason] = (counts.get(reason, (0, ""))[0] + count, step["step"])
    if not counts:
        return ""
    most = max(count for count, _ in counts.values())
    parts = []
    for reason, (count, step) in sorted(counts.items(), key=lambda item: (-item[1][0], item[0])):
        bar = row(reason, [("drop", count)], f"{number(count)} in {step.replace('_', ' ')}", whole=most)
        shown = "".join(example(one) for one in stats["examples"].get(reason, []))
        parts.append(f"<details><summary>{bar}</summary>{shown}</details>")
    return "".join(parts)


def example(one: Mapping[str, str]) -> str:
    """One dropped document."""
    heading = f"<b>{escape(one['title'])}</b> " if one["title"] else ""
    text = f"<p>{escape(one['excerpt'])}</p>" if one["excerpt"] else ""
    why = f'<span class="why">{escape(one["detail"])}</span>' if one["detail"] else ""
    return f"<blockquote>{heading}{why}{text}<p><code>{escape(one['id'])}</code></p></blockquote>"


def languages(stats: Stats) -> str:
    """Documents by language."""
    found = [(name or "not identified", count) for name, count in stats["languages"].items()][:LANGUAGES_SHOWN]
    most = max((count for _, count in found), default=0)
    return "".join(row(name, [("accent", count)], number(count), whole=most) for name, count in found)


def histograms(stats: Stats, config: Mapping[str, Any]) -> str:
    """Distributions of the scores with their limits."""
    quality = quality_of(config)
    limits = quality.limits()
    by_score: dict[str, dict[str, float]] = {}
    for rule in RULES:
        if rule.threshold in limits:
            by_score.setdefault(quality.score_of(rule.score), {})[rule.threshold[:3]] = limits[rule.threshold]
    charts = [
        histogram(score, stats["histograms"][score], low=bounds.get("min"), high=bounds.get("max"))
        for score, bounds in by_score.items()
        if score in stats["histograms"]
    ]
    legend = (
        '<p class="legend"><i class="accent"></i>within the limits<i class="drop"></i>beyond them; '
        "heights are square roots of counts</p>"
    )
    return f'<div class="grid">{"".join(charts)}</div>{legend}' if charts else ""


def quality_of(config: Mapping[str, Any]) -> Quality:
    """The first quality step of a pipeline; one without limits where there is none."""
    for step in config["pipeline"]:
        if "quality" in step:
            return convert(Quality, Sourced(dict(step["quality"]), {}))
    return Quality(preset="none")


def seconds(stats: Stats) -> str:
    """Seconds of all workers by step."""
    most = max(stats["seconds"].values(), default=0)
    return "".join(
        row(name, [("accent", spent)], f"{spent:.2f} s", whole=most) for name, spent in stats["seconds"].items()
    )
