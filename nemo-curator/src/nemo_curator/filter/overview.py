"""All heuristic filters as a table: ``nemo-curator filters``, and the page of the documentation."""

from typing import Any

from .presets import DEFINED, PRESETS
from .rules import RULES
from .scores import registry
from .settings import Filters


def run(settings: Filters) -> list[dict[str, Any]]:
    """Every rule: its drop reason, score, threshold, the values of presets, and what it says."""
    wanted = [rule for rule in RULES if settings.preset is None or rule.threshold in PRESETS[settings.preset].limits]
    return [
        {
            "reason": rule.reason,
            "score": rule.score,
            "threshold": rule.threshold,
            "presets": presets_of(rule.threshold),
            "about": rule.about,
        }
        for rule in wanted
    ]


def presets_of(threshold: str) -> dict[str, float]:
    """The limit that each preset sets."""
    return {name: preset.limits[threshold] for name, preset in PRESETS.items() if threshold in preset.limits}


def markdown() -> str:
    """The page of the documentation."""
    parts = [
        "# Heuristic filters",
        "Every rule looks at one score and drops a document whose score is beyond the threshold; it stays where it "
        "equals it. `nemo-curator filters` prints the same table. This page is written by `tools/write_pages.py`.",
        "## Presets",
        *presets_table(),
        "## Rules, in the order in which they are asked",
        *rules_table(),
        "## Scores",
        "Kept as columns `score_NAME` with `keep_scores=true`. Where the definitions are those of datatrove, NeMo "
        "Curator or data-juicer, a rule looks at the score of that name behind `datatrove_`, `nemo_` or "
        "`data_juicer_`, if there is one.",
        *scores_table(),
    ]
    return "\n\n".join(parts) + "\n"


def presets_table() -> list[str]:
    """Presets with their definitions."""
    rows = [f"| `{name}` | {preset.definitions} | {preset.about} |" for name, preset in PRESETS.items()]
    return ["\n".join(["| preset | definitions | |", "|---|---|---|", *rows])]


def rules_table() -> list[str]:
    """Rules with thresholds and presets."""
    rows = []
    for rule in RULES:
        values = ", ".join(f"{name} {value:g}" for name, value in presets_of(rule.threshold).items())
        rows.append(f"| `{rule.threshold}` | `{rule.reason}` | `{rule.score}` | {values or '-'} | {rule.about} |")
    head = [
        "| threshold | drop reason | score | presets | what it says, and where it is from |",
        "|---|---|---|---|---|",
    ]
    return ["\n".join([*head, *rows])]


def scores_table() -> list[str]:
    """Scores with what they are."""
    variants = {score for definitions in DEFINED.values() for score in definitions.values()}
    rows = [f"| `{name}` | {about} |" for name, about in registry.abouts().items() if name not in variants]
    return ["\n".join(["| score | |", "|---|---|", *rows])]
