"""What a person sees: one line per stage, figures before and after, tables."""

import os
import pty
import re
import subprocess
import sys

import pytest
from launcher_place import Place

from nemo_launcher.state import Phase
from nemo_launcher.ui.format import count, duration, figure, size, table
from nemo_launcher.ui.live import line_of, shown
from nemo_launcher.ui.progress import progress_parts
from nemo_launcher.ui.rows import Row
from nemo_launcher.ui.summary import figures


def row(name: str, phase: Phase, **more: object) -> Row:
    return Row(**{"name": name, "phase": phase, "seconds": 0.0, "progress": {}, "reason": "", "retry": 0, **more})


def test_a_running_stage_shows_bar_rate_time_left_and_note() -> None:
    progress = {"label": "pretrain", "done": 50, "total": 200, "unit": "step", "elapsed_s": 10.0, "note": "loss 3.21"}
    line = line_of(row("pretrain", Phase.RUNNING, seconds=12.0, progress=progress, retry=1))
    assert re.match(r"pretrain +running +\(retry 1\) +12 s  pretrain  █{5}░{15} 50/200", line)
    assert line.endswith("5 step/s  30 s left  loss 3.21")


def test_progress_without_a_known_end_shows_what_is_done() -> None:
    assert progress_parts({"label": "read", "done": 12_300, "total": None, "unit": "page", "elapsed_s": 0}) == [
        "read",
        "12.3k page",
    ]
    assert progress_parts({}) == []


def test_a_small_terminal_shows_what_runs_and_drops_what_is_done_first() -> None:
    rows = [row("a", Phase.DONE), row("b", Phase.RUNNING), row("c", Phase.WAITING), row("d", Phase.FAILED)]
    assert [r.name for r in shown(list(rows), 3)] == ["b", "c", "d"]
    assert [r.name for r in shown(list(rows), 2)] == ["b", "d"]
    assert len(shown(list(rows), 4)) == 4


@pytest.mark.parametrize(
    ("shown_as", "expected"),
    [
        (duration(0.42), "0.4 s"),
        (duration(75), "75 s"),
        (duration(185), "3 m 05 s"),
        (duration(7620), "2 h 07 m"),
        (size(19), "19 B"),
        (size(1_340_000), "1.3 MB"),
        (count(950), "950"),
        (count(4_500_000), "4.5M"),
        (figure(8.31456), "8.315"),
        (figure(8905), "8,905"),
    ],
)
def test_figures_are_short(shown_as: str, expected: str) -> None:
    assert shown_as == expected


def test_figures_of_a_manifest_show_what_changed() -> None:
    assert figures({"before": {"loss": 8.3}, "after": {"loss": 3.25}, "steps": 9}) == ["loss 8.3 → 3.25"]
    assert figures({"documents_in": 8905, "documents_out": 800, "bytes_in": 3, "bytes_out": 2}) == [
        "documents 8,905 → 800"
    ]
    assert figures({"pages": 3, "seconds": 1.0, "name": "x"}) == ["pages 3"]


def test_tables_align() -> None:
    assert table(("a", "n"), [("long", "1"), ("x", "10")], right=(1,)) == "a      n\nlong   1\nx     10"


def test_a_terminal_gets_one_line_per_stage_redrawn_in_place(place: Place) -> None:
    place.workflow({"a": {"use": "demo-stages/write"}, "s": {"use": "demo-stages/slow", "with": {"steps": 5}}})
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "nemo_launcher", "run", "flow.yaml"]
    process = subprocess.Popen(
        command,
        cwd=place.folder,
        env={**place.environment, "COLUMNS": "100", "LINES": "30"},
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    screen = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        screen += chunk
    assert process.wait(timeout=60) == 0
    text = screen.decode()
    assert "\x1b[2F" in text and "✓\x1b[0m s" in text and "▶\x1b[0m s" in text
    assert '{"run"' not in text
