"""The state machine of a run: every event, and the races between stages, as plain values."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_launcher.decide import decide
from nemo_launcher.state import (
    FINAL,
    SUCCEEDED,
    Begun,
    Ended,
    Look,
    Looked,
    Phase,
    Room,
    RunState,
    StageState,
    Start,
    Stop,
    StopAsked,
)

ONE = Room(cpus=1, memory_gib=1.0, gpus=0)


def state_of(needs: dict[str, tuple[str, ...]], *, cpus: int = 2, retries: int = 2) -> RunState:
    stages = {name: StageState(needs=first, room=ONE, retries=retries) for name, first in needs.items()}
    return RunState(stages=stages, room=Room(cpus=cpus, memory_gib=8.0, gpus=0))


def after(state: RunState, *events: object) -> tuple[RunState, list]:
    actions: list = []
    for event in events:
        state, actions = decide(state, event)  # type: ignore[arg-type]
    return state, actions


def ended(stage: str, code: int | None = 0, *, signal: int | None = None, complete: bool | None = None) -> Ended:
    return Ended(stage, code, signal, code == 0 if complete is None else complete)


CHAIN = {"a": (), "b": ("a",), "c": ("b",)}
RUNNING_A = (Begun(), Looked("a", False))


def test_a_run_begins_by_looking_at_stages_without_needs() -> None:
    state, actions = after(state_of({**CHAIN, "x": ()}), Begun())
    assert actions == [Look("a"), Look("x")]
    assert state.stages["b"].phase == Phase.WAITING


def test_a_stage_whose_output_is_current_is_skipped_and_frees_its_dependants() -> None:
    state, actions = after(state_of(CHAIN), Begun(), Looked("a", True))
    assert (state.stages["a"].phase, actions) == (Phase.SKIPPED, [Look("b")])


def test_a_stage_that_is_not_current_starts_its_first_attempt() -> None:
    assert after(state_of(CHAIN), *RUNNING_A)[1] == [Start("a", 1)]


def test_stages_start_only_while_they_fit_and_the_next_starts_when_room_is_free() -> None:
    wide = state_of(dict.fromkeys("abc", ()), cpus=2)
    state, _ = after(wide, Begun(), *(Looked(name, False) for name in "abc"))
    assert state.in_phase(Phase.RUNNING) == ["a", "b"]
    assert decide(state, ended("a"))[1] == [Start("c", 1)]


def test_a_failure_blocks_dependants_of_dependants_and_leaves_other_branches_alone() -> None:
    state, actions = after(state_of({**CHAIN, "x": ()}), *RUNNING_A, Looked("x", False), ended("a", 2))
    assert [state.stages[name].phase for name in "abcx"] == ["failed", "blocked", "blocked", "running"]
    assert state.stages["c"].reason == "b blocked"
    assert actions == []


@pytest.mark.parametrize("code", [1, 2, 127])
def test_a_plain_failure_is_not_tried_again(code: int) -> None:
    assert after(state_of(CHAIN), *RUNNING_A, ended("a", code))[0].stages["a"].phase == Phase.FAILED


def test_exit_75_is_retried_as_often_as_allowed() -> None:
    state, actions = after(state_of(CHAIN, retries=2), *RUNNING_A, ended("a", 75))
    assert actions == [Start("a", 2)]
    state, actions = decide(state, ended("a", 75))
    assert actions == [Start("a", 3)]
    state, actions = decide(state, ended("a", 75))
    assert (state.stages["a"].phase, state.stages["a"].exit_code, actions) == (Phase.FAILED, 75, [])


def test_a_killed_stage_is_tried_once_more() -> None:
    state, actions = after(state_of(CHAIN, retries=0), *RUNNING_A, ended("a", None, signal=9))
    assert actions == [Start("a", 2)]
    state, _ = decide(state, ended("a", None, signal=9))
    assert (state.stages["a"].phase, state.stages["a"].reason) == (
        Phase.FAILED,
        "killed by signal 9: out of memory, or killed by hand",
    )


def test_a_stage_killed_after_its_artifact_was_in_place_is_done() -> None:
    state, _ = after(state_of(CHAIN), *RUNNING_A, ended("a", None, signal=9, complete=True))
    assert state.stages["a"].phase == Phase.DONE


def test_ending_well_without_an_artifact_is_a_failure() -> None:
    state, _ = after(state_of(CHAIN), *RUNNING_A, ended("a", 0, complete=False))
    assert (state.stages["a"].phase, state.stages["a"].reason) == (
        Phase.FAILED,
        "ended well but wrote no whole artifact",
    )


def test_a_plain_failure_counts_even_where_an_artifact_is_in_place() -> None:
    assert after(state_of(CHAIN), *RUNNING_A, ended("a", 1, complete=True))[0].stages["a"].phase == Phase.FAILED


def test_being_asked_to_stop_stops_what_runs_and_starts_nothing_more() -> None:
    state, actions = after(state_of({**CHAIN, "x": ()}), *RUNNING_A, StopAsked())
    assert actions == [Stop("a")]
    assert state.stages["x"].phase == Phase.STOPPED
    assert not state.over
    state, actions = decide(state, ended("a", 130))
    assert (state.over, state.stages["a"].phase, actions) == (True, Phase.STOPPED, [])


def test_a_stage_that_finishes_while_the_run_stops_is_done() -> None:
    state, _ = after(state_of(CHAIN), *RUNNING_A, StopAsked(), ended("a"))
    assert (state.stages["a"].phase, state.stages["b"].phase) == (Phase.DONE, Phase.STOPPED)


def test_a_look_that_comes_back_after_the_stop_starts_nothing() -> None:
    state, actions = after(state_of(CHAIN), Begun(), StopAsked(), Looked("a", False))
    assert (state.stages["a"].phase, actions) == (Phase.STOPPED, [])


def test_an_adopted_stage_keeps_its_attempt_and_its_room() -> None:
    adopted = state_of({"a": (), "b": ()}, cpus=1).having("a", phase=Phase.RUNNING, attempt=3)
    state, actions = after(adopted, Begun(), Looked("b", False))
    assert (actions, state.stages["b"].phase) == ([], Phase.READY)
    assert decide(state, ended("a", 75))[1] == [Start("a", 4)]


def test_a_stage_larger_than_the_machine_runs_alone() -> None:
    whole = Room(cpus=2, memory_gib=4.0, gpus=0)
    assert Room(cpus=64, memory_gib=900.0, gpus=0).at_most(whole) == whole


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_order_of_events_ends_and_never_overcommits(data: st.DataObject) -> None:
    names = [f"s{i}" for i in range(data.draw(st.integers(1, 6)))]
    needs = {n: tuple(data.draw(st.sets(st.sampled_from(names[:i])))) if i else () for i, n in enumerate(names)}
    state, actions = decide(state_of(needs, cpus=data.draw(st.integers(1, 3)), retries=1), Begun())
    open_looks, starts = [], []
    for _ in itertools.count():
        open_looks += [a.stage for a in actions if isinstance(a, Look)]
        starts += [(a.stage, a.attempt) for a in actions if isinstance(a, Start)]
        running = state.in_phase(Phase.RUNNING)
        assert len(running) <= state.room.cpus
        assert all(state.stages[need].phase in SUCCEEDED for name in running for need in needs[name])
        choices = [*(Looked(n, c) for n in open_looks for c in (True, False))]
        choices += [ended(n, code) for n in running for code in (0, 1, 75)]
        choices += [ended(n, None, signal=9) for n in running]
        if not choices:
            break
        event = data.draw(st.sampled_from([*choices, *([] if state.stopping else [StopAsked()])]))
        if isinstance(event, Looked):
            open_looks.remove(event.stage)
        state, actions = decide(state, event)
    assert all(stage.phase in FINAL for stage in state.stages.values())
    assert len(starts) == len(set(starts))
