"""Where a run came from: provenance.json, the plan, and the producers named in the manifests."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..view import Stage
from .reading import Reader, items, mapping, text

Rows = tuple[tuple[str, str], ...]


def read_provenance(plan: Mapping[str, Any], stages: Sequence[Stage], reader: Reader) -> Rows:
    """Command, workflow, machine and versions as rows of name and value; empty values are unknown."""
    found = mapping(reader.json(reader.root / "provenance.json", why="command and machine are not known"))
    return (
        ("command", shlex.join(text(word) for word in items(found.get("command")))),
        ("workflow", text(plan.get("workflow"))),
        ("revision of the workflow", text(found.get("workflow_revision"))),
        ("run from", text(plan.get("cwd"))),
        ("stages left out", ", ".join(text(name) for name in items(plan.get("left_out")))),
        ("machine", text(found.get("machine"))),
        ("Python", text(mapping(found.get("python")).get("version"))),
        *versions(mapping(found.get("packages")), stages),
    )


def versions(packages: Mapping[str, Any], stages: Sequence[Stage]) -> Rows:
    """Each package with its version, and the revision where an artifact names one."""
    known = {str(name): text(version) for name, version in packages.items()}
    revisions: dict[str, str] = {}
    for stage in stages:
        producer = stage.artifact.producer if stage.artifact else {}
        if name := text(producer.get("package")):
            known.setdefault(name, text(producer.get("version")))
            revisions.setdefault(name, text(producer.get("git_revision"))[:12])
    return tuple((name, join(version, revisions.get(name, ""))) for name, version in known.items())


def join(version: str, revision: str) -> str:
    """``1.2.0 (4b0233d)``, or the version alone."""
    return f"{version} ({revision})" if revision else version
