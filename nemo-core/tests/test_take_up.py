"""A new run takes up another one's weights, moments and steps."""

import json
from pathlib import Path

import pytest
import torch

from nemo_core.checkpoint.folder import load_model
from nemo_core.checkpoint.state import load_state
from nemo_core.cli import main
from nemo_core.train import pretrain

from .interrupting import Interrupting

FLAT = ["schedule.kind=constant", "schedule.warmup_share=0"]


@pytest.fixture
def words(tiny_words) -> list[str]:
    return ["pretrain", *(word for word in tiny_words if not word.startswith("steps=")), *FLAT]


@pytest.fixture
def going_on(words) -> list[str]:
    """The same settings for a run whose model is there already."""
    return [word for word in words if not word.startswith("model.")]


@pytest.fixture
def first(words, tmp_path) -> Path:
    """A finished run of six steps, which keeps its state."""
    assert main([*words, "steps=6", f"output={tmp_path / 'first'}"]) == 0
    return tmp_path / "first"


def same_weights(one: Path, other: Path) -> bool:
    pairs = zip(load_model(one).parameters(), load_model(other).parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_run_taken_up_ends_as_one_that_never_stopped(words, going_on, first, tmp_path):
    assert main([*words, "steps=9", f"output={tmp_path / 'whole'}"]) == 0
    goes_on = [*going_on, f"continue_from={first}", "take_up=run", "steps=9"]
    assert main([*goes_on, f"output={tmp_path / 'second'}"]) == 0
    assert same_weights(tmp_path / "second", tmp_path / "whole")
    assert main([*goes_on, "take_up=weights", f"output={tmp_path / 'third'}"]) == 0
    assert not same_weights(tmp_path / "third", tmp_path / "whole")
    steps = [json.loads(line)["step"] for line in (tmp_path / "second/metrics.jsonl").read_text().splitlines()]
    assert min(steps) > 0 and max(steps) == 9


def test_moments_are_taken_up_and_steps_counted_anew(going_on, first, tmp_path):
    begins = [*going_on, f"continue_from={first}", "steps=3"]
    assert main([*begins, "take_up=optimizer", f"output={tmp_path / 'warm'}"]) == 0
    assert main([*begins, f"output={tmp_path / 'cold'}"]) == 0
    assert not same_weights(tmp_path / "warm", tmp_path / "cold")
    index = json.loads((tmp_path / "warm/state/step-000003/index.json").read_text())
    assert index["facts"]["step"] == 3
    saved, _ = load_state(tmp_path / "warm/state")
    assert {float(saved[name]) for name in saved if name.endswith(".step")} == {9.0}


def test_a_stopped_run_that_took_up_another_resumes_its_own_state(going_on, first, tmp_path, monkeypatch):
    """A state of its own comes before that of the run it began with."""
    goes_on = [*going_on, f"continue_from={first}", "take_up=run", "steps=12", "ema.decay=0.9"]
    assert main([*goes_on, f"output={tmp_path / 'whole'}"]) == 0
    made = pretrain.training_data
    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "training_data", lambda *given: Interrupting(made(*given), at=9))
        assert main([*goes_on, f"output={tmp_path / 'cut'}"]) == 75
    assert main([*goes_on, f"output={tmp_path / 'cut'}"]) == 0
    assert same_weights(tmp_path / "cut", tmp_path / "whole")


def test_what_cannot_be_taken_up_is_named(words, going_on, first, tmp_path, capsys):
    def refused(settings: list[str]) -> str:
        assert main([*settings, f"output={tmp_path / 'x'}"]) == 2
        return capsys.readouterr().err

    taken = [*going_on, f"continue_from={first}", "take_up=run"]
    assert "take_up=optimizer needs continue_from=FOLDER" in refused([*words, "take_up=optimizer", "steps=2"])
    assert "steps=6 counts from the first step of the run that is taken up, which did 6" in refused([*taken, "steps=6"])
    error = refused([*taken, "steps=9", "optimizer.kind=muon"])
    assert "the moments are those of optimizer.kind=adamw, this run's is muon" in error
    assert main(["convert", f"model={first}", f"output={tmp_path / 'bare'}"]) == 0
    taken[-2] = f"continue_from={tmp_path / 'bare'}"
    assert "no training state here; `nemo-core convert optimizer=true`" in refused([*taken, "steps=9"])


def test_megatron_takes_up_what_native_did(words, going_on, first, tmp_path):
    pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")
    assert main([*words, "steps=9", f"output={tmp_path / 'whole'}"]) == 0
    goes_on = [*going_on, f"continue_from={first}", "take_up=run", "steps=9", "implementation=megatron"]
    assert main([*goes_on, f"output={tmp_path / 'second'}"]) == 0
    pairs = zip(load_model(tmp_path / "second").parameters(), load_model(tmp_path / "whole").parameters(), strict=True)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in pairs)


@pytest.mark.parametrize("kind", ["muon", "adafactor"])
def test_other_optimizers_are_taken_up_as_well(words, going_on, tmp_path, kind):
    chosen = f"optimizer.kind={kind}"
    assert main([*words, chosen, "steps=2", f"output={tmp_path / 'first'}"]) == 0
    assert main([*words, chosen, "steps=3", f"output={tmp_path / 'whole'}"]) == 0
    goes_on = [*going_on, chosen, f"continue_from={tmp_path / 'first'}", "take_up=run", "steps=3"]
    assert main([*goes_on, f"output={tmp_path / 'second'}"]) == 0
    assert same_weights(tmp_path / "second", tmp_path / "whole")
