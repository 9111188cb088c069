"""``nemo-launcher run``: plan a workflow and execute it."""

import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from ..attempt import to_yaml
from ..config.compose import load_workflow
from ..config.secrets import redacted
from ..contracts import installed, load_contract
from ..foundation import atomic
from ..foundation.artifact import git_revision
from ..plan import Plan
from ..planning import make_plan
from ..settings import WorkflowSettings
from ..store import RunFolder
from .execute import execute


def plan_of(settings: WorkflowSettings) -> tuple[Plan, dict[str, Any]]:
    """The plan of a workflow file with its overrides, and the resolved workflow."""
    workflow, sourced = load_workflow(settings.workflow, settings.overrides)
    packages = installed(workflow.executor.python)
    plan = make_plan(
        workflow,
        sourced,
        file=settings.workflow,
        cwd=Path.cwd(),
        find=lambda use, place: load_contract(use, packages, place),
    )
    return plan, sourced.values


def run(settings: WorkflowSettings) -> dict[str, Any] | None:
    """Execute the workflow. Nothing is written before the whole of it is known to be right."""
    plan, resolved = plan_of(settings)
    folder = RunFolder(Path(plan.run_dir))
    with folder.locked():
        atomic.write_text(folder.path / "workflow.resolved.yaml", to_yaml(resolved))
        atomic.write_text(folder.path / "provenance.json", json.dumps(provenance(plan, settings), indent=1) + "\n")
        folder.write_plan(plan)
        return execute(plan, folder)


def provenance(plan: Plan, settings: WorkflowSettings) -> dict[str, Any]:
    """Where a run comes from: command line, versions, revisions."""
    versions = {stage.package: stage.version for stage in plan.stages}
    return {
        "command": ["nemo-launcher", "run", str(settings.workflow), *redacted(settings.overrides)],
        "workflow": plan.workflow,
        "workflow_revision": git_revision(Path(plan.workflow)),
        "packages": {**versions, "nemo-launcher": metadata.version("nemo-launcher")},
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "machine": platform.platform(),
    }
