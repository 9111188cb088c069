"""Crashes: launcher or stage dies at any moment; `resume` finishes with the same result, nothing done twice."""

import json
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from launcher_place import Place, wait_for

SLOW = {"use": "demo-stages/slow", "with": {"steps": 6, "step_s": 0.05}}
FLOW = {
    "a": SLOW,
    "b": {**SLOW, "with": {"steps": 4, "step_s": 0.05, "seed": 1}},
    "c": {**SLOW, "inputs": {"input": "a"}},
    "d": {**SLOW, "inputs": {"input": "b"}, "with": {"steps": 2, "step_s": 0.05}},
}


def alive_marked(place: Place) -> list[int]:
    """Processes whose environment points into this run folder."""
    marker = f"NEMO_PROGRESS_FILE={place.run}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            entries = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(entry.startswith(marker) for entry in entries):
            found.append(int(folder.name))
    return found


def steps_executed(place: Place, stage: str) -> list[int]:
    log = place.run / "artifacts" / stage / "logs" / "executed.log"
    return [int(line.split()[0]) for line in log.read_text().splitlines()]


def check_nothing_was_done_twice(place: Place) -> None:
    """Every step of every stage was executed once, but one that a kill of the stage itself cut short."""
    for stage in FLOW:
        steps = steps_executed(place, stage)
        assert steps == sorted(set(steps)), stage
    done = [event["stage"] for event in place.events("done")]
    assert sorted(done) == sorted(FLOW)
    for stage in FLOW:
        kinds = [event["event"] for event in place.events() if event.get("stage") == stage]
        assert "started" not in kinds[kinds.index("done") :], f"{stage} ran again after it was done"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, demo_path: Path) -> dict[str, str]:
    place = Place(tmp_path_factory.mktemp("undisturbed"), demo_path)
    place.workflow(FLOW, executor={"cpus": 2})
    process = place.launch("run", "flow.yaml")
    assert process.wait(timeout=120) == 0
    return place.digests()


@pytest.mark.parametrize("seed", [pytest.param(s, marks=() if s == 0 else pytest.mark.slow) for s in range(10)])
def test_killing_the_launcher_at_any_moment_loses_nothing(place: Place, undisturbed: dict, seed: int) -> None:
    place.workflow(FLOW, executor={"cpus": 2})
    chance = random.Random(seed)
    for _ in range(3):
        process = place.launch("run", "flow.yaml")
        try:
            process.wait(timeout=chance.uniform(0.2, 1.2))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    place.call("run", "flow.yaml")
    assert place.digests() == undisturbed
    check_nothing_was_done_twice(place)
    wait_for(lambda: not alive_marked(place))


def test_resume_takes_over_a_stage_that_still_runs(place: Place, undisturbed: dict) -> None:
    place.workflow(FLOW, executor={"cpus": 1})
    process = place.launch("run", "flow.yaml")
    wait_for(lambda: place.status("a").get("state") == "running")
    process.kill()
    process.wait()
    assert {s["stage"]: s["state"] for s in place.json("status", "flow")["stages"]}["a"] == "running"
    place.call("resume", "flow")
    assert place.digests() == undisturbed
    assert place.started().count("a") == 1
    assert place.status("a")["state"] == "ended"


def test_a_stage_that_ended_while_no_launcher_lived_counts(place: Place) -> None:
    place.workflow({"a": SLOW})
    process = place.launch("run", "flow.yaml")
    wait_for(lambda: place.status("a").get("state") == "running")
    process.kill()
    process.wait()
    wait_for(lambda: place.status("a")["state"] == "ended")
    assert place.json("resume", "flow")["skipped"] == ["a"]
    assert place.started() == ["a"]


@pytest.mark.parametrize("victims", ["stage", "wrapper", "both"])
def test_a_killed_stage_is_started_again_and_continues_where_it_was(place: Place, victims: str) -> None:
    place.workflow({"a": SLOW})
    process = place.launch("run", "flow.yaml")
    partial = place.run / "artifacts" / "a.partial"
    wait_for(lambda: (partial / "step-002.txt").exists())
    wrapper = place.status("a")["pid"]
    if victims != "stage":
        os.kill(wrapper, signal.SIGKILL)
    if victims != "wrapper":
        for pid in alive_marked(place):
            os.kill(pid, signal.SIGKILL)
    assert process.wait(timeout=60) == 0
    assert place.started() == ["a", "a"]
    steps = steps_executed(place, "a")
    assert steps[:2] == [0, 1]
    assert len(steps) <= 7, "at most the step that was cut short is done again"


def test_both_killed_together_resume_from_the_partial_artifact(place: Place) -> None:
    place.workflow({"a": SLOW})
    process = place.launch("run", "flow.yaml")
    wait_for(lambda: (place.run / "artifacts" / "a.partial" / "step-002.txt").exists())
    process.kill()
    os.kill(place.status("a")["pid"], signal.SIGKILL)
    process.wait()
    place.call("resume", "flow")
    assert len(steps_executed(place, "a")) <= 7
    assert not alive_marked(place)


def test_ctrl_c_lets_stages_save_and_resume_continues(place: Place, undisturbed: dict) -> None:
    place.workflow(FLOW, executor={"cpus": 2})
    process = place.launch("run", "flow.yaml")
    wait_for(lambda: (place.run / "artifacts" / "a.partial" / "step-001.txt").exists())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "nemo-launcher resume runs/flow' continues" in err
    assert not alive_marked(place)
    assert {s["stage"]: s["state"] for s in place.json("status", "flow")["stages"]}["a"] == "stopped"
    place.call("resume", "flow")
    assert place.digests() == undisturbed


def test_a_stage_that_ignores_the_request_to_stop_is_killed_after_the_grace_time(place: Place) -> None:
    stubborn = {"use": "nemo-launcher/shell", "with": {"command": "trap '' INT TERM; touch up; sleep 600 & wait; wait"}}
    place.workflow({"s": stubborn}, executor={"grace_s": 0.3})
    process = place.launch("run", "flow.yaml")
    wait_for(lambda: (place.run / "artifacts" / "s.partial" / "up").exists())
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    assert not alive_marked(place)


def test_a_run_under_nohup_survives_its_terminal(place: Place) -> None:
    place.workflow({"a": {**SLOW, "with": {"steps": 10}}})
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = place.launch("run", "flow.yaml")
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_for(lambda: place.status("a").get("state") == "running")
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 0


def test_cancel_stops_a_living_launcher_and_its_stages(place: Place) -> None:
    place.workflow({"a": {**SLOW, "with": {"steps": 500}}})
    process = place.launch("run", "flow.yaml")
    wait_for(lambda: place.status("a").get("state") == "running")
    place.call("cancel", "flow")
    assert process.wait(timeout=30) == 130
    assert not alive_marked(place)


def test_cancel_stops_stages_whose_launcher_died(place: Place) -> None:
    place.workflow({"a": {**SLOW, "with": {"steps": 500}}})
    process = place.launch("run", "flow.yaml")
    wait_for(lambda: place.status("a").get("state") == "running")
    process.kill()
    process.wait()
    assert place.json("cancel", "flow")["stopped"] == ["a"]
    assert not alive_marked(place)


def test_a_second_launcher_is_refused_while_the_first_runs(place: Place) -> None:
    place.workflow({"a": {**SLOW, "with": {"steps": 500}}})
    process = place.launch("run", "flow.yaml")
    wait_for(lambda: place.status("a").get("state") == "running")
    _, err = place.call("run", "flow.yaml", expect=2)
    assert f"process {process.pid} is running this already" in err
    place.call("cancel", "flow")
    process.wait(timeout=30)


def test_a_changed_setting_replaces_a_stage_that_a_dead_launcher_left_running(place: Place) -> None:
    place.workflow({"a": {**SLOW, "with": {"steps": 500}}})
    process = place.launch("run", "flow.yaml")
    wait_for(lambda: place.status("a").get("state") == "running")
    process.kill()
    process.wait()
    assert place.json("run", "flow.yaml", "a.steps=2")["done"] == ["a"]
    assert not alive_marked(place)
    assert steps_executed(place, "a") == [0, 1]


def test_a_stage_left_running_on_inputs_that_changed_since_is_started_anew(place: Place) -> None:
    write = {"use": "demo-stages/write", "with": {"text": "old"}}
    place.workflow({"a": write, "s": {**SLOW, "inputs": {"input": "a"}, "with": {"steps": 30}}})
    process = place.launch("run", "flow.yaml")
    wait_for(lambda: place.status("s").get("state") == "running")
    process.kill()
    process.wait()
    assert place.json("run", "flow.yaml", "a.text=new", "s.steps=30")["done"] == ["a", "s"]
    assert place.started() == ["a", "s", "a", "s"]
    manifest = json.loads((place.run / "artifacts/s/manifest.json").read_text())
    assert manifest["inputs"]["input"]["digest"] == place.digests()["a"]


def test_a_process_id_that_is_reused_is_not_taken_for_the_stage(place: Place) -> None:
    place.workflow({"a": SLOW})
    process = place.launch("run", "flow.yaml")
    wait_for(lambda: place.status("a").get("state") == "running")
    process.kill()
    os.kill(place.status("a")["pid"], signal.SIGKILL)
    process.wait()
    path = place.run / "stages/a/attempt-1/status.json"
    path.write_text(json.dumps({**place.status("a"), "pid": os.getpid()}))
    place.call("resume", "flow")
    assert place.started() == ["a", "a"]


def test_an_attempt_that_no_wrapper_claimed_is_abandoned_for_good(place: Place) -> None:
    from nemo_launcher.executors.local import running_process
    from nemo_launcher.executors.wrapper import run

    folder = place.folder / "attempt-1"
    folder.mkdir()
    proof = place.folder / "ran"
    order = {"argv": ["/bin/sh", "-c", f"touch {proof}"], "cwd": str(place.folder), "env": {}}
    (folder / "argv.json").write_text(json.dumps(order))
    assert running_process(folder) is None
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        assert run(folder) == 75
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert not proof.exists()


def test_a_torn_last_line_of_the_journal_is_tolerated(place: Place) -> None:
    place.workflow({"a": SLOW})
    place.call("run", "flow.yaml")
    journal = place.run / "journal.jsonl"
    whole = journal.read_bytes()
    for cut in (1, 20, 60):
        journal.write_bytes(whole + whole[:cut])
        assert place.json("run", "flow.yaml")["skipped"] == ["a"]
        place.call("status", "flow")


def test_a_lost_journal_costs_a_rerun_and_nothing_else(place: Place) -> None:
    place.workflow({"a": SLOW})
    place.call("run", "flow.yaml")
    before = place.digests()
    (place.run / "journal.jsonl").unlink()
    assert place.json("run", "flow.yaml")["done"] == ["a"]
    assert place.digests() == before


def test_a_full_disk_is_named_and_can_be_continued(place: Place) -> None:
    place.workflow({"a": SLOW})
    place.run.mkdir(parents=True)
    (place.run / "journal.jsonl").symlink_to("/dev/full")
    _, err = place.call("run", "flow.yaml", expect=75)
    assert "no space left while writing" in err and "journal.jsonl" in err
    assert not alive_marked(place)
    (place.run / "journal.jsonl").unlink()
    place.call("run", "flow.yaml")
