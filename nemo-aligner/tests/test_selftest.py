"""The toy tasks are learnt, and a task that is not is told."""

import pytest

from nemo_aligner.cli import main
from nemo_aligner.selftest import run as selftest
from nemo_aligner.selftest.settings import SelftestSettings


@pytest.mark.slow
def test_both_toy_tasks_reach_their_lines(capsys):
    assert main(["selftest"]) == 0
    assert "FAIL" not in capsys.readouterr().err


def test_a_task_that_is_not_learnt_is_named(monkeypatch, tmp_path):
    missed = [selftest.at_least("dpo held-out accuracy", 0.5, 0.97)]
    monkeypatch.setattr(selftest, "sort_digits", lambda *_: missed)
    monkeypatch.setattr(selftest, "repeat_digit", lambda *_: [])
    with pytest.raises(selftest.SelftestFailed, match=r"dpo held-out accuracy is 0.5000, not at least 0.97"):
        selftest.run(SelftestSettings(folder=tmp_path / "kept"))
