"""Plans: what is found out about a workflow before anything is written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from launcher_place import Place

WRITE = {"use": "demo-stages/write"}
JOIN = {"use": "demo-stages/join", "inputs": {"parts": ["a"]}}


def test_a_plan_lists_stages_in_an_order_that_runs_with_their_settings_completed(place: Place) -> None:
    place.workflow({"j": {**JOIN, "inputs": {"parts": {"x": "a", "y": "b"}}}, "a": WRITE, "b": WRITE})
    stages = place.json("plan", "flow.yaml")["stages"]
    assert [stage["stage"] for stage in stages] == ["a", "b", "j"]
    artifacts = place.run / "artifacts"
    assert stages[2]["config"] == {
        "parts": {"x": str(artifacts / "a"), "y": str(artifacts / "b")},
        "output": str(artifacts / "j"),
    }
    assert not place.run.exists()


def test_only_what_targets_need_is_planned(place: Place) -> None:
    place.workflow({"a": WRITE, "b": WRITE, "j": JOIN}, targets=["j"])
    plan = place.json("plan", "flow.yaml")
    assert ([stage["stage"] for stage in plan["stages"]], plan["left_out"]) == (["a", "j"], ["b"])


def test_the_recipe_key_follows_settings_and_not_places(place: Place) -> None:
    place.workflow({"a": WRITE, "j": JOIN})

    def keys(*words: str) -> dict[str, str]:
        return {s["stage"]: s["recipe_key"] for s in place.json("plan", "flow.yaml", *words)["stages"]}

    base = keys()
    assert keys("run_dir=elsewhere", "a.resources.cpus=2", "j.retries=5") == base
    changed = keys("a.text=other")
    assert (changed["a"] != base["a"], changed["j"] == base["j"]) == (True, True)


MISTAKES = {
    "unknown setting": (
        {"a": {**WRITE, "with": {"txt": "x"}}},
        r"flow.yaml:6: unknown setting 'a.txt'; did you mean 'text'",
    ),
    "wrong type": ({"a": {**WRITE, "with": {"text": 3}}}, "a.text: 3 is not of type 'string'"),
    "nested": ({"a": {"use": "demo-stages/slow", "with": {"steps": 0}}}, "a.steps: 0 is less than the minimum of 1"),
    "missing setting": ({"a": {"use": "demo-stages/fail"}}, "a.counter is required by demo-stages/fail"),
    "missing input": ({"j": {"use": "demo-stages/join"}}, "stage 'j' needs the input 'parts' \\(documents\\)"),
    "unknown input": ({"a": WRITE, "j": {**JOIN, "inputs": {"part": "a"}}}, "needs the input 'parts'"),
    "extra input": (
        {"a": WRITE, "j": {**JOIN, "inputs": {"parts": ["a"], "modle": "a"}}},
        "has no input 'modle'; did you mean 'model'",
    ),
    "no such path": ({"apple": WRITE, "j": {**JOIN, "inputs": {"parts": ["appel"]}}}, "did you mean 'apple'"),
    "wrong kind": (
        {"a": WRITE, "j": {**JOIN, "inputs": {"parts": ["a"], "model": "a"}}},
        "j.model takes checkpoint, but stage 'a' makes documents",
    ),
    "input under with": ({"a": WRITE, "j": {**JOIN, "with": {"parts": {}}}}, "j.parts is an input of"),
    "output under with": ({"a": {**WRITE, "with": {"output": "x"}}}, "a.output is set by the launcher"),
    "cycle": (
        {"a": {**WRITE, "needs": ["c"]}, "b": {**WRITE, "needs": ["a"]}, "c": {**WRITE, "needs": ["b"]}},
        "in a circle: a -> c -> b -> a",
    ),
    "unknown need": (
        {"alpha": WRITE, "b": {**WRITE, "needs": ["alhpa"]}},
        "needs: no stage 'alhpa'; did you mean 'alpha'",
    ),
    "unknown package": ({"a": {"use": "demo-stage/write"}}, "needs the package demo-stage, which is not .*pip install"),
    "unknown stage": ({"a": {"use": "demo-stages/wirte"}}, "has no stage 'wirte'; did you mean 'write'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_with_exit_code_2_and_nothing_written(
    place: Place, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    from nemo_launcher.cli import main

    stages, message = MISTAKES[name]
    place.workflow(stages)
    assert main(["run", "flow.yaml"]) == 2
    error = capsys.readouterr().err
    import re

    assert re.search(message, error), error
    assert sorted(p.name for p in place.folder.iterdir()) == ["flow.yaml"]


def test_an_input_of_the_users_own_must_exist_and_may_be_a_stage_or_a_path(place: Place) -> None:
    (place.folder / "mine").mkdir()
    (place.folder / "mine" / "text.txt").write_text("mine")
    place.workflow({"a": WRITE, "j": {**JOIN, "inputs": {"parts": ["${input}"]}}}, params={"input": "a"}, targets=["j"])
    out, _ = place.call("run", "flow.yaml", "input=mine")
    assert json.loads(out)["done"] == ["j"]
    assert (place.run / "artifacts/j/text.txt").read_text() == "mine"


def test_planning_loads_no_heavy_library(place: Place) -> None:
    place.workflow({"a": WRITE, "j": JOIN})
    heavy = ("torch", "ray", "dask", "pandas", "numpy", "transformers", "nemo_core", "demo_stages")
    script = f"""
import sys
from nemo_launcher.cli import main
code = main(["plan", "flow.yaml"])
print([name for name in {heavy!r} if name in sys.modules], code, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=place.environment, cwd=place.folder, capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1] == "[] 0"


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["status", "flow"], ["logs", "flow"], ["ls"]])
def test_hydra_and_jsonschema_stay_away_where_nothing_is_composed(place: Place, words: list[str]) -> None:
    place.workflow({"a": WRITE})
    place.call("run", "flow.yaml")
    script = f"""
import sys
from nemo_launcher.cli import main
main({words!r})
print([n for n in ("hydra", "omegaconf", "jsonschema", "antlr4") if n in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=place.environment, cwd=place.folder, capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_contracts_can_come_from_another_interpreter(place: Place) -> None:
    wrapper = place.folder / "other-python"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    wrapper.chmod(0o755)
    place.workflow({"a": WRITE}, executor={"python": {"demo-stages": str(wrapper)}})
    place.call("run", "flow.yaml")
    order = json.loads((place.run / "stages/a/attempt-1/argv.json").read_text())
    assert order["argv"][0] == str(wrapper)
    assert Path(place.run / "artifacts/a/text.txt").read_text() == "hello"
