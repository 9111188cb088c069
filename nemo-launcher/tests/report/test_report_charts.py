"""Charts: lines stay in the frame, ticks are round, and any numbers at all can be drawn."""

import math
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nemo_launcher.report.charts import Line, Part, bar, line_chart
from nemo_launcher.report.charts.line import MAX_POINTS, running_mean, thin
from nemo_launcher.report.charts.scale import drawable, nice_scale, nice_step, step_scale, tick_labels

anything = st.floats(allow_nan=True, allow_infinity=True)
fit = st.floats(min_value=-1e99, max_value=1e99).filter(lambda x: x == 0 or abs(x) > 1e-99)


def draw(*points, title="Loss"):
    return line_chart([Line(label="training", points=tuple(points))], title=title)


def coordinates(svg):
    return [tuple(map(float, pair.split())) for pair in re.search(r' d="M([^"]+)"', svg)[1].split("L")]


def test_the_ends_of_a_line_touch_the_ends_of_the_plot():
    assert coordinates(draw((0, 4.0), (50, 3.0), (100, 2.0))) == [(0, 0), (500, 500), (1000, 1000)]


def test_one_point_is_a_dot_and_no_line():
    svg = draw((7, 3.25))
    assert "<path" not in svg
    assert svg.count("<circle") == 1
    assert "training: 3.25 at 7" in svg


@pytest.mark.parametrize("points", [(), ((1, math.nan),), ((1, math.inf), (2, -math.inf)), ((1, 1e300),)])
def test_nothing_to_draw_is_said_in_words(points):
    svg = draw(*points)
    assert "No values were recorded." in svg
    assert "<svg" not in svg


@settings(deadline=None)
@given(st.lists(st.tuples(anything, anything), max_size=30))
def test_whatever_the_numbers_the_line_stays_inside(points):
    points.sort(key=lambda point: (math.isnan(point[0]), point[0]))
    svg = draw(*points)
    assert "nan" not in svg.lower().replace("training", "")
    if " d=" in svg:
        assert all(0 <= x <= 1000 and 0 <= y <= 1000 for x, y in coordinates(svg))


@settings(deadline=None)
@given(st.lists(fit, min_size=1, max_size=20))
def test_a_nice_scale_holds_all_values_between_few_ticks(values):
    scale = nice_scale(values)
    slack = 1e-6 * (scale.high - scale.low)
    assert scale.low <= min(values) + slack
    assert scale.high >= max(values) - slack
    assert 2 <= len(scale.ticks) <= 7
    assert len(tick_labels(scale)) == len(scale.ticks)


@example([51])
@settings(deadline=None)
@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_ticks_of_steps_are_whole_numbers_inside_the_data(steps):
    scale = step_scale(steps)
    assert all(tick == int(tick) for tick in scale.ticks)
    assert all(-1e-6 <= scale.place(tick) <= 1 + 1e-6 for tick in scale.ticks)


@settings(deadline=None)
@given(st.floats(min_value=1e-50, max_value=1e50), st.integers(1, 10))
def test_a_nice_step_is_round_and_cuts_into_no_more_parts_than_asked(length, parts):
    step = nice_step(length, parts=parts)
    assert length / step <= parts * (1 + 1e-6)
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert any(math.isclose(mantissa, round_number) for round_number in (1, 2, 2.5, 5))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ((2.9, 8.3), ["2", "4", "6", "8", "10"]),
        ((0.51, 0.93), ["0.4", "0.6", "0.8", "1.0"]),
        ((0, 3e-3), ["0", "1e-3", "2e-3", "3e-3"]),
        ((40_100, 41_900), ["40k", "40.5k", "41k", "41.5k", "42k"]),
    ],
)
def test_ticks_read_as_people_write_numbers(values, labels):
    assert tick_labels(nice_scale(values)) == labels


def test_shares_have_percentages_on_their_axis():
    assert tick_labels(nice_scale([0.5, 0.9]), share=True)[-1] == "90%"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(-1e6, 1e6)), max_size=2000, unique_by=lambda p: p[0]))
def test_thinning_keeps_ends_and_extremes(points):
    points.sort()
    kept = thin(points)
    assert len(kept) <= MAX_POINTS + 2
    assert list(kept) == sorted(kept)
    if points:
        assert (kept[0], kept[-1]) == (points[0], points[-1])
        assert min(y for _, y in kept) == min(y for _, y in points)
        assert max(y for _, y in kept) == max(y for _, y in points)


def test_a_running_mean_of_a_straight_line_is_the_line():
    line = [(x, 2.0 * x) for x in range(50)]
    assert [y for _, y in running_mean(line, reach=4)] == pytest.approx([y for _, y in line])


def test_drawable_refuses_what_would_overflow():
    assert [drawable(x) for x in (0.0, 1e100, 1e101, math.nan, math.inf)] == [True, True, False, False, False]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e18), max_size=6), st.floats(0, 1e18))
def test_parts_of_a_bar_never_leave_it(values, whole):
    svg = bar([Part(value=v, title="x", cls="c1") for v in values], whole=whole, label="bar")
    assert all(0 <= float(x) <= 100 for x in re.findall(r' (?:x|width)="([\d.]+)%"', svg))


def test_a_chart_is_described_to_those_who_do_not_see_it():
    assert "Loss: line chart. training from 4 at training step 1 to 2 at 9." in draw((1, 4.0), (9, 2.0))
