"""``nemo-curator explain``: what happened to one document, step by step, and why."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .document import SCHEMA
from .foundation import artifact
from .foundation.errors import InputError, UserError
from .foundation.settings import Sourced, convert
from .recipe import Explain

EXCERPT_CHARACTERS = 500
MEMBERS_SHOWN = 20
Row = dict[str, Any]


def run(settings: Explain) -> Row | None:
    """What became of the document; on a terminal it is told in sentences instead."""
    told = explain(settings.documents, settings.id)
    if not sys.stdout.isatty():
        return told
    print(as_text(told))
    return None


def explain(documents: Path, identity: str) -> Row:
    """The document's row and what every step did with it. Raises InputError where the artifact never saw it."""
    manifest = artifact.read(documents, "documents")
    for record in manifest.files:
        if record.path.startswith(("data/", "rejects/")):
            row = find(documents / record.path, identity)
            if row is not None:
                return answer(row, record.path, documents, manifest)
    raise InputError(
        f"id={identity}: not among the documents of {documents}, nor among its rejects{alike(documents, manifest)}"
    )


def alike(documents: Path, manifest: artifact.Manifest) -> str:
    """An id that there is, as an example; or nothing."""
    for record in manifest.files:
        if record.path.endswith(".parquet") and record.path.startswith(("data/", "rejects/")):
            ids = pq.read_table(documents / record.path, columns=["id"])["id"]
            if len(ids):
                return f"; ids look like {ids[0].as_py()!r}"
    return ""


def find(path: Path, identity: str) -> Row | None:
    """The row of a file with this id or source_id; None where there is none."""
    with pq.ParquetFile(path) as table:
        for group in range(table.num_row_groups):
            names = table.read_row_group(group, columns=["id", "source_id"])
            wanted = pc.or_(pc.equal(names["id"], identity), pc.equal(names["source_id"], identity))
            if pc.any(wanted).as_py():
                return dict(table.read_row_group(group).filter(wanted).to_pylist()[0])
    return None


def answer(row: Row, path: str, documents: Path, manifest: artifact.Manifest) -> Row:
    """What is said of a document."""
    is_dropped = path.startswith("rejects/")
    dropped = {"reason": row["reason"], "detail": row["detail"]} if is_dropped else {}
    facts = {name: row[name] for name in ("id", "source_id", "source", "url", "title", "language", "language_score")}
    own = {name: value for name, value in row.items() if name not in SCHEMA.names and name not in dropped}
    return {
        "outcome": "dropped" if is_dropped else "kept",
        **dropped,
        **facts,
        **({"columns": own} if own else {}),
        "steps": steps_of(row, dropped.get("reason"), manifest),
        **duplicates_of(row, dropped.get("detail") or "", documents),
        "file": path,
        "text": (row["text"] or "")[:EXCERPT_CHARACTERS],
    }


def steps_of(row: Row, reason: str | None, manifest: artifact.Manifest) -> list[Row]:
    """What each step did with the document, in order; scores are those of the text as it is stored."""
    settings = pipeline_settings(manifest.config)
    told: list[Row] = []
    for step in manifest.stats.get("funnel", []):
        name = step["step"]
        values = settings[name].pop(0) if settings.get(name) else {}
        if told and told[-1]["outcome"] in ("dropped", "not reached"):
            told.append({"step": name, "outcome": "not reached"})
            continue
        gone = reason is not None and reason in step["dropped"]
        shown = scores_of(row, values) if name == "quality" else language_of(row, values) if name == "language" else {}
        why = {"reason": reason, "detail": row["detail"]} if gone else {}
        told.append({"step": name, "outcome": "dropped" if gone else "passed", **why, **shown})
    return told


def pipeline_settings(config: Mapping[str, Any]) -> dict[str, list[Row]]:
    """The settings of the steps by name, in order where a name comes twice."""
    found: dict[str, list[Row]] = {}
    for step in config.get("pipeline", []):
        for name, values in step.items():
            found.setdefault(name, []).append(dict(values))
    return found


def language_of(row: Row, values: Row) -> Row:
    """What the language step looked at."""
    wanted = {"keep": values.get("keep", []), "threshold": values.get("threshold")}
    return {"language": row["language"], "probability": row["language_score"], **wanted}


def scores_of(row: Row, values: Row) -> Row:
    """Every score that the quality step looked at, with its limits and whether it is within them."""
    from .filter.quality import judge
    from .filter.thresholds import Quality
    from .report.sections import limits_by_score

    columns = {name: pa.array([value]) for name, value in row.items() if name not in ("reason", "detail")}
    try:
        quality = convert(Quality, Sourced(values, {}))
        found = judge(quality)(pa.table(columns)).scores
    except UserError as error:  # a word list or model that is gone, or settings of another version
        return {"scores_missing": str(error)}
    limits = limits_by_score(quality)
    return {"scores": [scored(name, float(value[0]), limits.get(name, {})) for name, value in found.items()]}


def scored(name: str, value: float, bounds: Mapping[str, float]) -> Row:
    """One score beside its limits."""
    within = bounds.get("min", value) <= value <= bounds.get("max", value)
    return {"score": name, "value": round(value, 4), **bounds, "within": within}


def duplicates_of(row: Row, detail: str, documents: Path) -> Row:
    """The group that the document is in: who stays, how many went for its sake, and the first of them."""
    from .report.duplicates import OF, members

    duplicate = detail.startswith(OF) and "duplicate" in row.get("reason", "")
    survivor = detail.removeprefix(OF) if duplicate else row["id"]
    count, ids = members(documents, survivor, limit=MEMBERS_SHOWN)
    if not count:
        return {}
    return {"duplicates": {"survivor": survivor, "documents": count + 1, "dropped": ids}}


def as_text(told: Row) -> str:
    """The same as a person reads it."""
    head = f"{told['id']} was {told['outcome']}"
    if told["outcome"] == "dropped":
        head += f": {told['reason'].replace('_', ' ')} ({told['detail']})"
    lines = [head, ""]
    lines += [f"  {name}: {told[name]}" for name in ("title", "url", "source", "source_id") if told[name]]
    for name, value in told.get("columns", {}).items():
        lines.append(f"  {name}: {value}")
    for step in told["steps"]:
        lines += step_lines(step)
    if "duplicates" in told:
        group = told["duplicates"]
        lines += ["", f"  Of a group of {group['documents']} documents, {group['survivor']} stays; these went:"]
        lines += [f"    {name}" for name in group["dropped"]]
    return "\n".join([*lines, "", f"  {told['file']}:", *(f"  | {line}" for line in told["text"].splitlines())])


SIGNS = {"passed": "+", "dropped": "x", "not reached": " "}


def step_lines(step: Row) -> list[str]:
    """One step in a few lines."""
    said = f"language {step['language'] or '?'} at {step['probability']:.2f}" if "probability" in step else ""
    why = f"{step['reason']}: {step['detail']}" if step["outcome"] == "dropped" else said
    lines = [f"  {SIGNS[step['outcome']]} {step['step']:<16} {why or step['outcome']}"]
    for each in step.get("scores", []):
        bounds = " ".join(f"{side} {each[side]:g}" for side in ("min", "max") if side in each)
        lines.append(
            f"      {'' if each['within'] else '! '}{each['score']} {each['value']:g} ({bounds or 'no limit'})"
        )
    if "scores_missing" in step:
        lines.append(f"      scores cannot be computed again: {step['scores_missing']}")
    return lines
