"""The report of a run: one HTML page without anything from outside."""

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

from ..dedup.settings import FuzzyDedup
from .charts import bar, duration, figure, number, rate, share, size
from .reasons import reasons
from .sections import changes, costs, duplicate_groups, funnel, known, languages, scores

Stats = Mapping[str, Any]


def render(stats: Stats, config: Mapping[str, Any]) -> str:
    """The page for a run's figures and its resolved settings."""
    style = (files(__package__) / "style.css").read_text(encoding="utf-8")
    sections = [
        section("Where the documents went", funnel(stats)),
        section("Why documents were dropped", reasons(stats, config)),
        section("Scores and their limits", scores(stats, config)),
        section("Languages of what is left", languages(stats)),
        section("Personal data replaced", changes(stats)),
        section("Groups of duplicates", duplicate_groups(stats)),
        section("What each step cost", costs(stats)),
        section("Pipeline", f"<pre>{escape(steps_as_lines(config))}</pre>{promises(config)}"),
    ]
    headline = title(stats)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{headline}</title>
<style>
{style}</style>
</head>
<body><main>
<h1>{headline}</h1>
<p class="lead">Curated from {escape(str(config.get("input", "documents")))}. Every record that was dropped is in
<code>rejects/</code> with its reason; <code>nemo-curator explain ID documents=FOLDER</code> tells what happened to
one.</p>
{left_out(stats)}{overall(stats)}
<div class="figures">{figures(stats)}</div>
{"".join(sections)}
</main></body>
</html>
"""


def left_out(stats: Stats) -> str:
    """The files of the input that were not read."""
    names = stats.get("ignored_files", [])
    count = stats.get("num_ignored_files", len(names))
    if not count:
        return ""
    said = "1 file was left out" if count == 1 else f"{number(count)} files were left out"
    items = "".join(f"<li><code>{escape(name)}</code></li>" for name in names)
    more = f"<li>and {number(count - len(names))} more</li>" if count > len(names) else ""
    summary = f'<summary><span class="name">{said} (of no known format, or a link)</span></summary>'
    return f'<details class="note">{summary}<ul>{items}{more}</ul></details>'


def title(stats: Stats) -> str:
    """What became of the documents, in a few words; a step that writes some anew can end with more than it read."""
    kept, read = number(stats["documents_out"]), number(stats["documents_in"])
    return f"{kept} documents from {read}" if made_more(stats) else f"{kept} of {read} documents kept"


def made_more(stats: Stats) -> bool:
    """Whether there are more documents than there were."""
    return bool(stats["documents_out"] > stats["documents_in"])


def overall(stats: Stats) -> str:
    """One bar of all documents: kept, and dropped by each step."""
    if made_more(stats):
        return ""
    gone = [(step["step"], sum(step["dropped"].values())) for step in stats["funnel"]]
    gone = [(name, count) for name, count in gone if count]
    parts = [("keep", stats["documents_out"])] + [(f"drop d{i % 5}", count) for i, (_, count) in enumerate(gone)]
    read = stats["documents_in"]
    legend = [f'<i class="keep"></i>kept {share(stats["documents_out"], read)}']
    legend += [
        f'<i class="drop d{i % 5}"></i>dropped by {escape(name.replace("_", " "))} {share(count, read)}'
        for i, (name, count) in enumerate(gone)
    ]
    drawn = bar(parts, whole=read)
    return (
        f'<div class="overall">{drawn}<p class="legend">{"".join(f"<span>{each}</span>" for each in legend)}</p></div>'
    )


def steps_as_lines(config: Mapping[str, Any]) -> str:
    """The pipeline as a recipe has it, a step a line, without settings that are empty."""
    lines = []
    for step in config["pipeline"]:
        for name, values in step.items():
            said = {key: value for key, value in values.items() if value not in (None, [], {}, "")}
            lines.append(f"- {name}: {json.dumps(said)}")
    return "\n".join(["pipeline:", *lines])


def promises(config: Mapping[str, Any]) -> str:
    """What the fuzzy deduplication of a pipeline finds."""
    found = [known(FuzzyDedup, step["fuzzy_dedup"]).promise() for step in config["pipeline"] if "fuzzy_dedup" in step]
    return "".join(f'<p class="legend">Fuzzy deduplication with {escape(line)}.</p>' for line in found)


def section(title: str, body: str) -> str:
    """A titled part of the page; nothing where it has no content."""
    return f"<section><h2>{title}</h2>\n{body}\n</section>\n" if body else ""


def figures(stats: Stats) -> str:
    """The figures at the top."""
    read, kept = stats["documents_in"], stats["documents_out"]
    shown = [
        figure(number(read), "documents read"),
        figure(number(kept), "documents kept"),
        figure(size(stats["bytes_in"]), "input, as stored"),
        figure(size(stats["bytes_out"]), "text kept"),
    ]
    wall = stats.get("wall_seconds")
    if wall:
        resumed = ", continued from an earlier one" if stats.get("resumed") else ""
        shown.append(figure(duration(wall), f"this run took{resumed}"))
        if not resumed:
            shown.append(figure(rate(read / wall), "documents/s"))
    return "".join(shown)
