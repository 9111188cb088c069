"""Runs of real stage processes: skipping, failing, retrying, in parallel, closing."""

import json

import pytest
from launcher_place import Place

from nemo_launcher.foundation import artifact

WRITE = {"use": "demo-stages/write"}
CHAIN = {
    "a": WRITE,
    "b": {**WRITE, "with": {"text": "there"}},
    "j": {"use": "demo-stages/join", "inputs": {"parts": ["a", "b"]}},
    "k": {"use": "demo-stages/join", "inputs": {"parts": {"only": "j"}}},
}


def fail(place: Place, code: int, *, times: int = 1000, **more: object) -> dict:
    settings = {"code": code, "times": times, "counter": str(place.folder / "counter"), **more}
    return {"use": "demo-stages/fail", "with": settings}


def test_a_run_makes_every_artifact_and_closes_with_its_figures(place: Place) -> None:
    place.workflow(CHAIN, closing="{a.letters} letters; {j.words_in}")
    out, err = place.call("run", "flow.yaml")
    assert json.loads(out)["closing"] == "5 letters; 2"
    assert (place.run / "artifacts/k/text.txt").read_text() == "hello there"
    assert "words 2 → 1" in err
    assert {p.name for p in place.run.iterdir()} >= {"plan.json", "workflow.resolved.yaml", "provenance.json"}
    assert {p.name for p in (place.run / "stages/a/attempt-1").iterdir()} >= {
        "config.yaml",
        "argv.json",
        "stdout.log",
        "stderr.log",
        "progress.json" if (place.run / "stages/a/attempt-1/progress.json").exists() else "status.json",
    }


def test_a_second_run_starts_nothing_and_a_changed_stage_reruns_with_its_dependants_only(place: Place) -> None:
    place.workflow(CHAIN)
    place.call("run", "flow.yaml")
    assert place.json("run", "flow.yaml")["skipped"] == ["a", "b", "j", "k"]
    assert len(place.started()) == 4
    assert place.json("run", "flow.yaml", "b.text=you")["done"] == ["b", "j", "k"]
    assert (place.run / "artifacts/k/text.txt").read_text() == "hello you"
    assert place.started()[4:] == ["b", "j", "k"]


def test_dependants_of_a_rerun_that_gives_the_same_content_are_skipped(place: Place) -> None:
    place.workflow({"a": {**WRITE, "with": {"options": {}}}, "j": {**CHAIN["j"], "inputs": {"parts": ["a"]}}})
    place.call("run", "flow.yaml")
    result = place.json("run", "flow.yaml", "a.options.note=1")
    assert (result["done"], result["skipped"]) == (["a"], ["j"])


def test_a_damaged_artifact_is_made_again(place: Place) -> None:
    place.workflow(CHAIN)
    place.call("run", "flow.yaml")
    before = place.digests()
    (place.run / "artifacts/b/text.txt").write_text("cut")
    assert place.json("run", "flow.yaml")["done"] == ["b"]
    assert place.digests() == before


def test_plan_foresees_what_a_run_does(place: Place) -> None:
    place.workflow(CHAIN)
    place.call("run", "flow.yaml")
    forecast = {s["stage"]: s["will"] for s in place.json("plan", "flow.yaml", "b.text=you")["stages"]}
    assert forecast == {"a": "skip", "b": "run", "j": "run", "k": "run"}
    assert place.digests() == place.digests()


def test_changed_input_files_of_the_users_own_rerun_the_stage(place: Place) -> None:
    mine = place.folder / "mine"
    mine.mkdir()
    (mine / "text.txt").write_text("one")
    place.workflow({"j": {"use": "demo-stages/join", "inputs": {"parts": ["mine"]}}})
    place.call("run", "flow.yaml")
    assert place.json("run", "flow.yaml")["skipped"] == ["j"]
    (mine / "text.txt").write_text("two!")
    assert place.json("run", "flow.yaml")["done"] == ["j"]


def test_independent_stages_run_at_the_same_time_where_they_fit(place: Place) -> None:
    slow = {"use": "demo-stages/slow", "with": {"steps": 5}}
    place.workflow({"x": slow, "y": slow}, executor={"cpus": 2})
    place.call("run", "flow.yaml")
    assert [(e["event"], e["stage"]) for e in place.events("started", "ended")][:2] == [
        ("started", "x"),
        ("started", "y"),
    ]
    place.workflow({"x": slow, "y": slow}, executor={"cpus": 1}, run_dir="single")
    place.call("run", "flow.yaml")
    rows = [json.loads(line) for line in (place.folder / "single/journal.jsonl").read_text().splitlines()]
    order = [(row["event"], row["stage"]) for row in rows if row["event"] in ("started", "ended")]
    assert order == [("started", "x"), ("ended", "x"), ("started", "y"), ("ended", "y")]


def test_a_failed_stage_blocks_its_dependants_while_others_go_on(place: Place) -> None:
    join = {"use": "demo-stages/join"}
    place.workflow(
        {
            "f": fail(place, 2),
            "a": WRITE,
            "fj": {**join, "inputs": {"parts": ["f"]}},
            "aj": {**join, "inputs": {"parts": ["a"]}},
        }
    )
    _, err = place.call("run", "flow.yaml", expect=2)
    assert "stage 'f' failed (exit code 2: settings or input are wrong)" in err
    assert "the moon is in the wrong phase" in err
    assert "not run because of that: fj" in err
    assert list(place.digests()) == ["a", "aj"]
    assert {s["stage"]: s["state"] for s in place.json("status", "flow")["stages"]} == {
        "f": "failed",
        "a": "done",
        "fj": "blocked",
        "aj": "done",
    }


@pytest.mark.parametrize(
    ("code", "times", "tries", "expect"), [(75, 2, 3, 0), (75, 99, 3, 75), (-9, 1, 2, 0), (-9, 9, 2, 1), (1, 9, 1, 1)]
)
def test_a_stage_is_tried_again_only_where_that_can_help(
    place: Place, code: int, times: int, tries: int, expect: int
) -> None:
    place.workflow({"f": fail(place, code, times=times)})
    place.call("run", "flow.yaml", expect=expect)
    assert len(place.started()) == tries


def test_a_stage_killed_after_finishing_its_artifact_is_not_run_again(place: Place) -> None:
    place.workflow({"f": fail(place, -9, after_writing=True)})
    place.call("run", "flow.yaml")
    assert (place.started(), (place.folder / "counter").read_text()) == (["f"], "x")


def test_a_stage_without_an_output_is_skipped_by_its_key(place: Place) -> None:
    look = {"use": "demo-stages/look", "inputs": {"input": "a"}, "with": {"seen": str(place.folder / "seen")}}
    place.workflow({"a": WRITE, "look": look})
    place.call("run", "flow.yaml")
    assert place.json("run", "flow.yaml")["skipped"] == ["a", "look"]
    assert (place.folder / "seen").read_text() == "seen\n"


def test_an_artifact_that_the_launcher_did_not_make_is_left_alone(place: Place) -> None:
    with artifact.create(place.run / "artifacts/a", kind="documents", package="nemo-launcher", config={}) as draft:
        (draft.path / "precious.txt").write_text("keep me")
    place.workflow({"a": WRITE})
    _, err = place.call("run", "flow.yaml", expect=2)
    assert "exists already" in err
    assert (place.run / "artifacts/a/precious.txt").read_text() == "keep me"


def test_a_closing_line_with_missing_figures_says_so_after_success(place: Place) -> None:
    place.workflow({"a": WRITE}, closing="{a.words}")
    assert place.json("run", "flow.yaml")["closing"] == "<stage 'a' has no figure 'words'; it has: letters>"


def test_a_closing_line_about_a_stage_that_is_left_out_is_not_shown(place: Place) -> None:
    place.workflow({"a": WRITE}, closing="{a.letters} and {b.c}")
    assert "closing" not in place.json("run", "flow.yaml")


def test_a_stage_sees_its_processors_its_variables_and_the_inherited_environment(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (
        'printf "{\\"threads\\": \\"$OMP_NUM_THREADS\\", \\"x\\": \\"$X\\", \\"t\\": \\"$HF_TOKEN\\"}" > stats.json'
    )
    stage = {"use": "nemo-launcher/shell", "with": {"command": command}, "resources": {"cpus": 2}, "env": {"X": 1}}
    place.workflow({"s": stage})
    monkeypatch.setenv("HF_TOKEN", "hf_secret_value")
    place.call("run", "flow.yaml")
    stats = artifact.load_manifest(place.run / "artifacts/s").stats
    assert stats == {"threads": "2", "x": "1", "t": "hf_secret_value"}
    ours = [p for p in place.run.rglob("*") if p.is_file() and "artifacts" not in p.parts and p.name != "stdout.log"]
    assert not [p for p in ours if "hf_secret_value" in p.read_text()]


def test_secret_looking_words_are_not_kept_in_the_provenance(place: Place) -> None:
    place.workflow({"a": {**WRITE, "with": {"options": {}}}})
    place.call("run", "flow.yaml", "a.text=plain")
    command = json.loads((place.run / "provenance.json").read_text())["command"]
    assert command == ["nemo-launcher", "run", "flow.yaml", "a.text=plain"]
    from nemo_launcher.config.secrets import redacted

    assert redacted(["a.api_key=abc", "max_tokens=3"]) == ["a.api_key=***", "max_tokens=3"]


def test_an_asked_report_is_rendered_into_the_run(place: Place) -> None:
    place.workflow({"a": WRITE}, report=True)
    result = place.json("run", "flow.yaml")
    assert "<html" in (place.folder / result["report"]).read_text()


def test_asking_for_gpus_that_are_not_there_is_said_before_anything_runs(place: Place) -> None:
    place.workflow({"a": {**WRITE, "resources": {"gpus": 64}}})
    _, err = place.call("run", "flow.yaml", expect=2)
    assert "stage 'a' asks for 64 GPUs" in err
    assert not (place.run / "artifacts").exists()
