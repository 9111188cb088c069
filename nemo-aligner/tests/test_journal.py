"""The rollout journal survives a kill in the middle of a line."""

import pytest

from nemo_aligner.runtime.journal import Journal
from nemo_core.foundation.errors import ArtifactError


def test_records_come_back_exactly_from_a_step_on(tmp_path):
    journal = Journal(tmp_path / "state" / "rollouts.jsonl")
    for step in range(3):
        journal.append(step, {"logps": [-0.1 * step, -1 / 3]})
    assert journal.since(1) == {step: {"step": step, "logps": [-0.1 * step, -1 / 3]} for step in (1, 2)}


def test_a_torn_last_line_is_cut_off_and_its_step_written_again(tmp_path):
    path = tmp_path / "rollouts.jsonl"
    Journal(path).append(0, {"tokens": [1]})
    with open(path, "a") as handle:
        handle.write('{"step":1,"tok')
    journal = Journal(path)
    assert list(journal.since(0)) == [0]
    journal.append(1, {"tokens": [2]})
    assert list(Journal(path).since(0)) == [0, 1]


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "rollouts.jsonl"
    path.write_text('{"step":0}\nnonsense\n{"step":2}\n')
    with pytest.raises(ArtifactError, match=r"rollouts.jsonl:2: damaged journal line"):
        Journal(path).since(0)
