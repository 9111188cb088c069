"""Every prompt is computed once, in order, within slots and budget, whatever arrives when."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.inference.scheduler import common_prefix, plan_step

TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=40)


@dataclass
class Row:
    tokens: list[int]
    num_cached: int = 0


@settings(deadline=None)
@given(
    arrivals=st.lists(st.tuples(st.integers(0, 5), TOKENS, st.integers(1, 4)), min_size=1, max_size=15),
    max_slots=st.integers(1, 4),
    budget=st.integers(1, 30),
)
def test_all_prompts_end_and_no_step_breaks_its_limits(arrivals, max_slots, budget):
    active, retired, waiting, left = [], {}, [], {}
    coming = sorted(enumerate(arrivals), key=lambda item: item[1][0])
    step = 0
    while active or waiting or coming:
        while coming and coming[0][1][0] <= step:
            number, (_, tokens, answer) = coming.pop(0)
            waiting.append((number, tokens))
            left[number] = answer
        plan = plan_step(
            [row for _, row in active],
            retired,
            [tokens for _, tokens in waiting],
            max_slots=max_slots,
            budget=budget,
        )
        cached = {slot: row.tokens[: row.num_cached] for slot, (_, row) in enumerate(active)}
        cached |= {slot: row.tokens[: row.num_cached] for slot, row in retired.items()}
        for admission in plan.admissions:
            number, tokens = waiting[admission.waiting]
            assert admission.slot == len(active) < max_slots
            assert admission.shared < len(tokens)
            assert cached.get(admission.donor, [])[: admission.shared] == tokens[: admission.shared]
            cached[admission.slot] = tokens[: admission.shared]
            retired.pop(admission.slot, None)
            active.append((number, Row(list(tokens), admission.shared)))
        admitted = {a.waiting for a in plan.admissions}
        waiting = [w for index, w in enumerate(waiting) if index not in admitted]
        assert len({c.slot for c in plan.chunks}) == len(plan.chunks)
        assert sum(c.stop - c.start for c in plan.chunks if c.stop - c.start > 1) <= budget
        assert plan.chunks or not active
        for chunk in plan.chunks:
            number, row = active[chunk.slot]
            assert chunk.start == row.num_cached < chunk.stop <= len(row.tokens)
            row.num_cached = chunk.stop
            if chunk.stop == len(row.tokens):
                left[number] -= 1
                row.tokens.append(1)
        for slot in reversed(range(len(active))):
            if left[active[slot][0]] == 0:
                last = len(active) - 1
                active[slot], active[last] = active[last], active[slot]
                retired[last] = active.pop()[1]
        step += 1
        assert step < 2000
    assert not any(left.values())


def test_running_answers_go_on_while_a_long_prompt_is_read():
    plan = plan_step([Row([1] * 9, 8), Row([2] * 100, 10)], {}, [[3] * 50], max_slots=4, budget=20)
    assert [(c.slot, c.start, c.stop) for c in plan.chunks] == [(0, 8, 9), (1, 10, 30)]
    assert plan.admissions == []


def test_the_first_of_equal_prompts_computes_and_the_others_wait_a_step_to_copy():
    prompt = list(range(30))
    first = plan_step([], {}, [prompt, prompt, [9, 8, 7]], max_slots=4, budget=100)
    assert [a.waiting for a in first.admissions] == [0, 2]
    second = plan_step([Row([*prompt, 5], 30)], {}, [prompt], max_slots=4, budget=100)
    assert [(a.donor, a.shared) for a in second.admissions] == [(0, 29)]
    assert [(c.slot, c.start, c.stop) for c in second.chunks] == [(0, 30, 31), (1, 29, 30)]


@settings(deadline=None)
@given(TOKENS, TOKENS, TOKENS)
def test_common_prefix_counts_equal_beginnings(beginning, left, right):
    expected = next((i for i, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
    assert common_prefix([*beginning, *left], [*beginning, *right]) == len(beginning) + expected
