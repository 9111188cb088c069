"""Workflows name what exists, ask for no more rights than they need, and pin what they use."""

import re

import pytest
import yaml
from packages import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def load(path):
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_every_job_ends(path):
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 60, name
        assert set(job.get("permissions", {})) <= {"id-token"}, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_version(path):
    for used in re.findall(r"uses: (\S+)", path.read_text()):
        assert re.search(r"@(?:v\d+|release/v\d+)$", used), used


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_sessions_named_by_a_workflow_exist(path):
    noxfile = (ROOT / "noxfile.py").read_text()
    named = re.findall(r"dev\.py (\w+)", path.read_text())
    for job in load(path)["jobs"].values():
        named += job.get("strategy", {}).get("matrix", {}).get("session", [])
    for name in named:
        assert f"\ndef {name.split('(')[0]}(session: nox.Session" in noxfile, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_script_interpolates_an_expression(path):
    for job in load(path)["jobs"].values():
        assert not [step for step in job["steps"] if "${{" in step.get("run", "")]


def test_the_ci_script_runs_the_readmes_test_command_and_every_check():
    text = (ROOT / ".ci/run").read_text()
    for name in ("tests", "lint", "imports", "typing", "integration", "smoke"):
        assert re.search(rf"\b{name}\b", text)
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
