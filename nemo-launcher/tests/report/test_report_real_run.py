"""Reports of runs of real stage processes: what the launcher writes is what the report reads."""

from launcher_place import Place

from nemo_launcher.report.gather.run import gather

WRITE = {"use": "demo-stages/write"}
JOIN = {"use": "demo-stages/join"}


def fail(place: Place, code: int, *, times: int) -> dict:
    return {"use": "demo-stages/fail", "with": {"code": code, "times": times, "counter": str(place.folder / "counter")}}


def test_a_failed_run_is_told_as_the_launcher_saw_it(place: Place) -> None:
    stages = {"f": fail(place, 2, times=9), "a": WRITE, "fj": {**JOIN, "inputs": {"parts": ["f"]}}}
    place.workflow(stages)
    place.call("run", "flow.yaml", expect=2)
    text = (place.folder / place.json("report", "flow")["report"]).read_text(encoding="utf-8")
    run = gather(place.folder / "runs" / "flow")
    assert {stage.name: stage.state for stage in run.stages} == {"f": "failed", "a": "done", "fj": "blocked"}
    assert run.state == "failed"
    assert run.missing == ()
    failed = next(stage for stage in run.stages if stage.name == "f")
    assert failed.exit_code == 2
    assert "the moon is in the wrong phase" in failed.log_tail
    assert failed.log_tail.splitlines()[-1].replace("'", "&#x27;") in text


def test_attempts_and_a_second_run_add_up_to_one_timetable(place: Place) -> None:
    place.workflow({"f": {**fail(place, 75, times=2), "retries": 2}, "j": {**JOIN, "inputs": {"parts": ["f"]}}})
    place.json("run", "flow.yaml")
    first = gather(place.folder / "runs" / "flow")
    place.json("run", "flow.yaml")
    second = gather(place.folder / "runs" / "flow")
    assert [stage.state for stage in first.stages] == ["done", "done"]
    assert [stage.state for stage in second.stages] == ["reused", "reused"]
    assert first.stages[0].attempts == len(first.stages[0].spans) == 3
    assert second.stages[0].spans == first.stages[0].spans
    assert 0 <= first.stages[0].spans[0][0] <= first.stages[1].spans[0][0]
    assert first.seconds is not None
    assert all(end <= first.seconds + 0.5 for stage in first.stages for _, end in stage.spans)
