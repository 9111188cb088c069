"""Why documents were dropped, with examples to unfold."""

from collections.abc import Mapping
from html import escape
from typing import Any

from ..filter.rules import RULES
from .charts import number, row, share

Stats = Mapping[str, Any]
SOURCES = {rule.reason: rule.about for rule in RULES}


def reasons(stats: Stats) -> str:
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
        source = f'<p class="source">{escape(SOURCES[reason])}</p>' if reason in SOURCES else ""
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
