"""Looking at runs: status, logs, ls; and what is said where there is none."""

import json
import resource
import subprocess
import sys

import pytest
from launcher_place import Place, wait_for

SLOW = {"use": "demo-stages/slow", "with": {"steps": 500, "step_s": 0.05}}
WRITE = {"use": "demo-stages/write"}


@pytest.mark.parametrize("command", ["status", "resume", "cancel", "logs"])
def test_a_run_that_is_not_there_is_named_with_the_nearest(place: Place, command: str) -> None:
    _, err = place.call(command, expect=2)
    assert "no runs are here; start one with 'nemo-launcher run workflow.yaml'" in err
    place.workflow({"a": WRITE})
    place.call("run", "flow.yaml")
    _, err = place.call(command, "flwo", expect=2)
    assert "flwo: no such run; did you mean 'flow'?" in err


def test_status_shows_states_and_the_progress_of_what_runs(place: Place) -> None:
    place.workflow({"a": WRITE, "s": {**SLOW, "inputs": {"input": "a"}}})
    process = place.launch("run", "flow.yaml")
    wait_for(lambda: place.status("s").get("state") == "running")

    def row() -> dict:
        return {r["stage"]: r for r in place.json("status")["stages"]}["s"]

    wait_for(lambda: row().get("progress", {}).get("done", 0) > 0)
    assert (row()["state"], row()["progress"]["total"], place.json("status")["launcher"]) == (
        "running",
        500,
        process.pid,
    )
    place.call("cancel")
    process.wait(timeout=30)
    assert place.json("status")["launcher"] is None


def test_status_answers_at_once(place: Place) -> None:
    place.workflow({f"s{i}": WRITE for i in range(3)})
    place.call("run", "flow.yaml")
    times = []
    for _ in range(3):
        began = cpu_time_of_children()
        subprocess.run(
            [sys.executable, "-m", "nemo_launcher", "status"], cwd=place.folder, check=True, capture_output=True
        )
        times.append(cpu_time_of_children() - began)
    assert min(times) < 0.6  # 0.15 s; of the processor, since others may use the machine as well


def cpu_time_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_logs_print_one_stage_whole_or_the_end_of_each(place: Place) -> None:
    say = {"use": "nemo-launcher/shell", "with": {"command": "for i in 1 2 3 4 5 6 7; do echo line $i; done; touch f"}}
    place.workflow({"say": say, "quiet": WRITE, "never": {**WRITE, "needs": ["say"]}})
    place.call("run", "flow.yaml", "targets=[say,quiet]")
    assert "line 1\nline 2\n" in place.call("logs", "flow", "say")[0]
    tails = place.call("logs", "flow", "lines=3")[0]
    assert "line 7" in tails and "line 2\n" not in tails and "== quiet" in tails
    _, err = place.call("logs", "flow", "sya", expect=2)
    assert "no stage 'sya'; did you mean 'say'?" in err


def test_logs_follow_a_stage_to_its_end(place: Place) -> None:
    say = {"use": "nemo-launcher/shell", "with": {"command": "echo first; sleep 1; echo last; touch f"}}
    place.workflow({"say": say})
    run = place.launch("run", "flow.yaml")
    wait_for(lambda: place.status("say").get("state") == "running")
    assert place.call("logs", "flow", "say", "follow=true")[0].startswith("first\nlast\n")
    assert run.wait(timeout=30) == 0


def test_ls_counts_the_stages_of_each_run(place: Place) -> None:
    place.workflow({"a": WRITE, "b": WRITE})
    place.call("run", "flow.yaml")
    place.call("run", "flow.yaml", "name=other", "targets=[a]")
    rows = json.loads(place.call("ls")[0])
    assert [(row["run"], row["stages"]) for row in rows] == [("runs/flow", {"done": 2}), ("runs/other", {"done": 1})]


def test_a_damaged_plan_is_named(place: Place) -> None:
    place.workflow({"a": WRITE})
    place.call("run", "flow.yaml")
    (place.run / "plan.json").write_text("{")
    _, err = place.call("resume", "flow", expect=2)
    assert "plan.json: damaged" in err
    place.call("run", "flow.yaml")


def test_a_missing_workflow_file_is_named(place: Place) -> None:
    _, err = place.call("run", "nothing.yaml", expect=2)
    assert "nothing.yaml: no such recipe file" in err
