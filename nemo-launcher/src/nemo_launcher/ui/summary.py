"""What a run made: a table of stages with the figures in their manifests, and the workflow's closing line."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..foundation import artifact
from ..foundation.errors import ArtifactError
from ..plan import Plan
from .format import duration, figure, size, table

PLACEHOLDER = re.compile(r"\{([A-Za-z][\w-]*)\.([^{}]+)\}")
MAX_FIGURES = 3


def manifests_of(plan: Plan) -> dict[str, artifact.Manifest]:
    """Manifests of the stages whose artifacts are there."""
    found = {}
    for stage in plan.stages:
        try:
            found[stage.name] = artifact.load_manifest(stage.output)
        except ArtifactError:
            continue
    return found


def summary(plan: Plan, phases: Mapping[str, str], seconds: Mapping[str, float]) -> str:
    """The table of stages."""
    manifests = manifests_of(plan)
    rows = []
    for stage in plan.stages:
        manifest = manifests.get(stage.name)
        rows.append(
            (
                stage.name,
                phases.get(stage.name, "waiting"),
                duration(seconds[stage.name]) if stage.name in seconds else "",
                ", ".join(figures(manifest.stats)) if manifest else "",
                size(sum(file.bytes for file in manifest.files)) if manifest else "",
                shown_path(stage.output) if manifest else "",
            )
        )
    return table(("stage", "state", "time", "figures", "size", "artifact"), rows, right=(2, 4))


def shown_path(path: str) -> str:
    """`path` relative to the current folder where it lies inside."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def figures(stats: Mapping[str, Any]) -> list[str]:
    """What changed: `loss 8.3 → 3.2` from before and after, `documents 120 → 80` from `_in` and `_out`."""
    before, after = stats.get("before"), stats.get("after")
    found = []
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found += [f"{k} {figure(before[k])} → {figure(after[k])}" for k in before if k in after]
    for key, value in stats.items():
        name = key.removesuffix("_in")
        if key.endswith("_in") and f"{name}_out" in stats and name != "bytes":
            found.append(f"{name} {figure(value)} → {figure(stats[f'{name}_out'])}")
    plain = [
        f"{k} {figure(v)}" for k, v in stats.items() if is_number(v) and not k.endswith(("_in", "_out", "seconds"))
    ]
    return (found or plain)[:MAX_FIGURES]


def is_number(value: object) -> bool:
    """True for a figure worth showing alone."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def closing_line(plan: Plan) -> str:
    """The workflow's `closing` with each ``{stage.key}`` replaced from that stage's manifest.

    "" where it speaks of a stage that the run's targets leave out.
    """
    planned = {stage.name for stage in plan.stages}
    if any(match.group(1) not in planned for match in PLACEHOLDER.finditer(plan.closing)):
        return ""
    manifests = manifests_of(plan)

    def fill(match: re.Match[str]) -> str:
        stage, path = match.group(1), match.group(2)
        if stage not in manifests:
            return f"<no artifact of stage {stage!r} for {path!r}>"
        return look_up(manifests[stage].stats, path.split("."), stage)

    return PLACEHOLDER.sub(fill, plan.closing)


def look_up(stats: Mapping[str, Any], path: list[str], stage: str) -> str:
    """A value of nested stats as text, or which keys there are."""
    value: Any = stats
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            known = ", ".join(map(str, value)) if isinstance(value, Mapping) else "none"
            return f"<stage {stage!r} has no figure {'.'.join(path)!r}; it has: {known or 'none'}>"
        value = value[part]
    return figure(value)
