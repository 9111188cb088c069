"""Reading run folders: the journal folds into courses, and damaged or odd files are tolerated and named."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_launcher.report import figures
from nemo_launcher.report.gather.learning import read_curves
from nemo_launcher.report.gather.run import gather
from nemo_launcher.report.gather.timeline import fold
from nemo_launcher.report.measures import measure
from nemo_launcher.report.sections.evaluation import best
from nemo_launcher.report.view import MetricRow


def row(time, event, stage=None, **facts):
    return {"time": time, "event": event, **({"stage": stage} if stage else {}), **facts}


def test_time_between_two_sessions_does_not_count():
    told = fold(
        [
            row(100, "run"),
            row(101, "started", "a", attempt=1),
            row(104, "ended", "a", exit_code=0, seconds=3),
            row(104, "done", "a", seconds=3),
            row(104, "run_ended", stages={"a": "done", "b": "stopped"}),
            row(9000, "run"),
            row(9001, "skipped", "a"),
            row(9002, "started", "b", attempt=1),
            row(9007, "ended", "b", exit_code=0, seconds=5),
            row(9007, "done", "b", seconds=5),
        ]
    )
    assert told.seconds == 11
    assert told.stages["a"].state == "reused"
    assert told.stages["a"].spans == ((1, 4),)
    assert told.stages["b"].spans == ((6, 11),)


def test_an_attempt_whose_end_nobody_saw_keeps_its_length():
    told = fold(
        [
            row(0, "run"),
            row(1, "started", "a", attempt=1),
            row(500, "run"),
            row(500, "ended", "a", exit_code=None, signal=9, seconds=40),
            row(501, "started", "a", attempt=2),
            row(511, "ended", "a", exit_code=0, seconds=10),
            row(511, "done", "a", seconds=50),
        ]
    )
    course = told.stages["a"]
    assert course.spans == ((1, 41), (42, 52))
    assert (course.attempts, course.seconds, course.state) == (2, 50, "done")


def test_a_retried_stage_waits_again_and_forgets_the_old_message():
    rows = [
        row(0, "run"),
        row(1, "started", "a"),
        row(2, "ended", "a", exit_code=2),
        row(2, "failed", "a", reason="no"),
    ]
    assert fold(rows).stages["a"].message == "no"
    again = fold([*rows, row(10, "run")]).stages["a"]
    assert (again.state, again.message, again.exit_code) == ("waiting", "", None)


def test_stages_that_were_stopped_are_known_from_the_end_of_the_run():
    told = fold([row(0, "run"), row(1, "started", "a"), row(3, "run_ended", stages={"a": "stopped", "b": "blocked"})])
    assert {name: course.state for name, course in told.stages.items()} == {"a": "cancelled", "b": "blocked"}


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
odd_rows = st.dictionaries(
    st.sampled_from(["time", "event", "stage", "seconds", "exit_code", "stages", "reason"]), values
)


@settings(deadline=None)
@given(st.lists(odd_rows, max_size=8))
def test_no_journal_is_too_odd_to_fold(rows):
    fold(rows)


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(["step", "loss", "reward/x", "note"]), scalars, max_size=4), max_size=20)
)
def test_curves_hold_finite_values_and_count_the_others(rows):
    for series in read_curves(rows):
        given_values = [r[series.name] for r in rows if type(r.get(series.name)) in (int, float)]
        assert series.not_finite <= len(given_values)
        assert all(math.isfinite(x) and math.isfinite(y) for x, y in series.points)
        assert list(series.points) == sorted(series.points)


def test_values_that_are_not_finite_are_counted_and_not_drawn(tmp_path, make_artifact):
    rows = '{"step": 1, "loss": 2.5}\n{"step": 2, "loss": NaN}\n{"step": 3, "loss": Infinity}\n'
    stats = {"objective": "pretrain", "before": {"loss": 3.0}, "after": {"loss": 2.0}}
    make_artifact(tmp_path, "pretrain", "checkpoint", stats=stats, files={"metrics.jsonl": rows})
    (series,) = gather(tmp_path).learnings[0].curves
    assert series.points == ((1.0, 2.5),)
    assert series.not_finite == 2


@settings(deadline=None)
@given(
    stats=st.dictionaries(
        st.sampled_from(["funnel", "examples", "languages", "documents_in", "before", "objective"]), values
    )
)
def test_no_stats_are_too_odd_to_show(stats, tmp_path_factory):
    from nemo_launcher.report.gather.documents import read_curation
    from nemo_launcher.report.sections import artifacts, documents
    from nemo_launcher.report.view import Artifact, Run, Stage

    facts = {"stage": "s", "path": "artifacts/s", "digest": "0", "created": "", "bytes": 0, "num_files": 0}
    shown = Artifact(kind="documents", stats=stats, **facts)
    run = Run(name="r", folder="/r", state="done", stages=(Stage(name="s", artifact=shown),))
    assert artifacts.render(run)
    curated = Run(name="r", folder="/r", state="done", curations=(read_curation(shown),))
    assert "<section" in documents.render(curated)


def test_a_run_without_a_plan_shows_what_its_artifacts_tell(quickstart):
    (quickstart / "plan.json").unlink()
    (quickstart / "journal.jsonl").unlink()
    run = gather(quickstart)
    assert len(run.stages) == 13
    assert run.state == "done"
    assert any("plan.json" in sentence for sentence in run.missing)


def test_an_evaluation_without_samples_or_directions_is_still_side_by_side(tmp_path, make_artifact):
    results = {"models": {"a": {"metrics": {"f1": 0.5}}, "b": {"metrics": {}}}}
    make_artifact(tmp_path, "evaluate", "evaluation", files={"results.json": json.dumps(results)})
    (evaluation,) = gather(tmp_path).evaluations
    assert evaluation.metrics[0].values == (0.5, None)


@pytest.mark.parametrize(
    ("better", "values", "winners"),
    [
        ("lower", (3.0, 1.0, None), {1}),
        ("higher", (3.0, 1.0, 3.0), {0, 2}),
        ("higher", (2.0, 2.0), set()),
        ("", (1.0, 2.0), set()),
    ],
)
def test_the_best_value_is_marked_where_a_direction_is_known(better, values, winners):
    assert best(MetricRow(name="m", unit="", better=better, values=values)) == winners


@pytest.mark.parametrize(
    ("write", "value", "words"),
    [
        (figures.count, 12345.0, "12,345"),
        (figures.count, None, "–"),
        (figures.short_count, 2_134_528, "2.13 M"),
        (figures.size, 512, "512 B"),
        (figures.size, 5 * 1024**3, "5.00 GiB"),
        (figures.size, 10**30, "888,178,419,700,125 PiB"),
        (figures.percent, 0.9125, "91.2%"),
        (figures.percent, 0.0001, "<0.1%"),
        (figures.percent, math.nan, "–"),
        (figures.duration, 4.21, "4.2 s"),
        (figures.duration, 59.99, "1 min 0 s"),
        (figures.duration, 7800, "2 h 10 min"),
        (figures.figure, 0.00012, "1.20e-04"),
        (figures.figure, 8.3181, "8.318"),
        (figures.figure, 7.0, "7"),
    ],
)
def test_numbers_read_as_people_write_them(write, value, words):
    assert write(value).replace("\u00a0", " ") == words


def test_metrics_are_named_by_what_they_measure():
    assert measure("validation_loss").label == "Held-out loss"
    assert measure("reward/names_subject").label == "Names subject"
    assert measure("my_new_metric").label == "My new metric"
    assert not measure("learning_rate").share
