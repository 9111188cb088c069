"""Why documents were dropped, with examples to unfold."""

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from ..filter.rules import RULES
from ..shards.tally import STOP_WORDS
from .charts import number, row, share

Stats = Mapping[str, Any]
LANGUAGES_SHOWN = 5
SOURCES = {rule.reason: re.sub("`(m..imum)`", r"the \1", rule.about) for rule in RULES}


def foreign_stop_words(stats: Stats, config: Mapping[str, Any]) -> str:
    """What to do where texts of other languages went because English stop words were counted; "" where none did."""
    qualities = [step["quality"] for step in config.get("pipeline", []) if "quality" in step]
    foreign = {name: n for name, n in stats.get("languages_without_stop_words", {}).items() if name != "en"}
    if not foreign or any(each.get("stop_words") or each.get("stop_word_language") for each in qualities):
        return ""
    shown = ", ".join(f"{name} {number(n)}" for name, n in [*foreign.items()][:LANGUAGES_SHOWN])
    return (
        f"of the documents with too few stop words, {number(sum(foreign.values()))} are not in English ({shown}), "
        "whose stop words were counted; quality: {stop_word_language: auto} counts those of each document's language, "
        "language: {keep: [en]} says that only English is wanted"
    )


def reasons(stats: Stats, config: Mapping[str, Any]) -> str:
    """Every reason, most frequent first."""
    counts: dict[str, tuple[int, str]] = {}
    for step in stats["funnel"]:
        for reason, count in step["dropped"].items():
            counts[reason] = (counts.get(reason, (0, ""))[0] + count, step["step"])
    if not counts:
        return ""
    most, whole = max(count for count, _ in counts.values()), stats["documents_in"]
    parts = []
    for reason, (count, step) in sorted(counts.items(), key=lambda item: (-item[1][0], item[0])):
        note = f"{number(count)} · {share(count, whole)} · {step.replace('_', ' ')}"
        shown = "".join(example(one) for one in stats["examples"].get(reason, []))
        about = [SOURCES.get(reason, ""), foreign_stop_words(stats, config) if reason == STOP_WORDS else ""]
        source = "".join(f'<p class="source">{escape(line)}</p>' for line in about if line)
        line = row(reason, [("drop", count)], note, whole=most)
        parts.append(f"<details><summary>{line}</summary>{source}{shown}</details>")
    hint = f"{number(sum(count for count, _ in counts.values()))} documents went, for {len(counts)} reasons; "
    return f'<p class="legend top">{hint}open one to see examples.</p>{"".join(parts)}'


def example(one: Mapping[str, str]) -> str:
    """One dropped document."""
    heading = f"<b>{escape(one['title'])}</b> " if one["title"] else ""
    text = f"<p>{escape(one['excerpt'])}</p>" if one["excerpt"] else ""
    why = f'<span class="why">{escape(one["detail"])}</span>' if one["detail"] else ""
    return f"<blockquote>{heading}{why}{text}<p><code>{escape(one['id'])}</code></p></blockquote>"
