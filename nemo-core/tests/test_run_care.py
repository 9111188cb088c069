"""What looks after a run: averaged weights, leaping losses, early stop, changed data, going on from a model."""

import dataclasses
import json
import math
import shutil
import signal

import pytest
import torch

from nemo_core.checkpoint.folder import load_model
from nemo_core.checkpoint.state_step import SavedState
from nemo_core.checkpoint.state_store import saved_steps
from nemo_core.cli import main
from nemo_core.foundation import settings as settings_module
from nemo_core.foundation.errors import ConfigError, Preempted
from nemo_core.train.care import EarlyStopSettings, EmaSettings, GuardSettings
from nemo_core.train.early_stop import Patience
from nemo_core.train.guard import FEWEST, RecentLoss
from nemo_core.train.loop import train
from nemo_core.train.metrics import read_metrics
from nemo_core.train.objective import next_token_loss
from nemo_core.train.pretrain import assemble
from nemo_core.train.recovery import Diverged
from nemo_core.train.session import make_plan
from nemo_core.train.settings import PretrainSettings


@pytest.fixture
def settings(tiny_words, tmp_path) -> PretrainSettings:
    return settings_module.load(PretrainSettings, None, [*tiny_words, f"output={tmp_path / 'model'}"])


def plan_of(settings):
    return make_plan(settings, label="test", steps=settings.steps)


def steps_done(folder) -> int:
    return max(saved_steps(folder / "state"), default=0)


@dataclasses.dataclass
class Disturbed:
    """Data whose batch of one step asks the process to stop, or is remembered."""

    data: object
    at: int

    def batch(self, step):
        if step == self.at:
            signal.raise_signal(signal.SIGTERM)
        return self.data.batch(step)


@dataclasses.dataclass
class Leaping:
    """An objective whose loss is multiplied in some calls."""

    calls_to_disturb: range
    by: float
    calls: int = 0

    def __call__(self, model, batch):
        self.calls += 1
        return next_token_loss(model, batch) * (self.by if self.calls - 1 in self.calls_to_disturb else 1.0)


def test_the_average_is_the_mean_the_formula_gives_and_survives_a_stop(settings, tmp_path):
    settings = dataclasses.replace(settings, ema=EmaSettings(decay=0.8))
    parts = assemble(settings)
    expected = {name: weight.detach().clone() for name, weight in parts.model.named_parameters()}
    step = parts.optimizer.step

    def step_and_average(*words):
        step(*words)
        for name, weight in parts.model.named_parameters():
            expected[name] = 0.8 * expected[name] + 0.2 * weight.detach()

    parts.optimizer.step = step_and_average
    account = train(parts, plan_of(settings), tmp_path / "whole")
    for name, tensor in parts.ema.average.items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-6, rtol=1e-5)
    assert account.after["ema_validation_loss"] != account.after["validation_loss"]
    stopped = assemble(settings)
    with pytest.raises(Preempted):
        train(dataclasses.replace(stopped, data=Disturbed(stopped.data, 5)), plan_of(settings), tmp_path / "stopped")
    resumed = assemble(settings)
    train(resumed, plan_of(settings), tmp_path / "stopped")
    assert all(torch.equal(resumed.ema.average[name], tensor) for name, tensor in parts.ema.average.items())


def test_the_averaged_model_is_a_folder_of_its_own(tiny_words, tmp_path):
    assert main(["pretrain", *tiny_words, "ema.decay=0.9", f"output={tmp_path / 'm'}"]) == 0
    stats = json.loads((tmp_path / "m/manifest.json").read_text())["stats"]
    averaged, last = load_model(tmp_path / "m/ema"), load_model(tmp_path / "m")
    assert not torch.equal(averaged.head_weight, last.head_weight)
    assert (tmp_path / "m/ema/tokenizer.json").is_file()
    assert stats["after"]["ema_validation_loss"] > 0


def test_a_leap_is_told_from_the_usual_noise():
    recent = RecentLoss()
    draw = torch.Generator().manual_seed(0)
    losses = (3 + 0.1 * torch.randn(200, generator=draw)).tolist()
    for number, loss in enumerate(losses):
        assert not recent.is_spike(99.0, factor=6) or number >= FEWEST
        assert not recent.is_spike(loss, factor=6)
        recent.add(loss)
    assert recent.mean == pytest.approx(3, abs=0.1)
    assert math.sqrt(recent.variance) == pytest.approx(0.1, rel=0.4)
    assert recent.is_spike(4.0, factor=6)


def test_a_leaping_loss_is_skipped_and_told(settings, tmp_path, capsys):
    settings = dataclasses.replace(settings, steps=40, guard=GuardSettings(spike_factor=8))
    parts = dataclasses.replace(assemble(settings), objective=Leaping(range(30, 32), by=50.0))
    account = train(parts, plan_of(settings), tmp_path)
    assert (account.step, account.skipped, account.rollbacks) == (40, 2, 0)
    assert "step 31: loss" in capsys.readouterr().err


def test_weights_go_back_to_a_good_moment_after_bad_steps_in_a_row(settings, tmp_path, capsys):
    settings = dataclasses.replace(settings, guard=GuardSettings(rollback_after=2, remember_every=3))
    parts = dataclasses.replace(assemble(settings), objective=Leaping(range(7, 9), by=math.nan))
    kept = {}
    update = parts.optimizer.step

    def remember(*words):
        update(*words)
        kept[len(kept) + 1] = {n: w.detach().clone() for n, w in parts.model.named_parameters()}

    parts.optimizer.step = remember
    seen = []
    batches = parts.data.batch

    class Watched:
        def batch(self, step):
            seen.append((step, {n: w.detach().clone() for n, w in parts.model.named_parameters()}))
            return batches(step)

    account = train(dataclasses.replace(parts, data=Watched()), plan_of(settings), tmp_path)
    assert (account.step, account.skipped, account.rollbacks) == (12, 2, 1)
    assert [step for step, _ in seen] == list(range(12)), "the data go on"
    after_rollback = seen[9][1]
    assert all(torch.equal(after_rollback[name], tensor) for name, tensor in kept[6].items())
    assert "weights and optimizer go back" in capsys.readouterr().err


def test_a_run_that_goes_bad_again_and_again_gives_up(settings, tmp_path):
    guard = GuardSettings(rollback_after=1, max_rollbacks=2)
    parts = dataclasses.replace(assemble(settings), objective=Leaping(range(2, 99), by=math.nan))
    with pytest.raises(Diverged, match=r"step 5: bad steps again after 2 rollbacks \(guard.max_rollbacks\)"):
        train(parts, plan_of(dataclasses.replace(settings, guard=guard)), tmp_path)


def test_patience_ends_when_nothing_got_better():
    patience, settings = Patience(), EarlyStopSettings(patience=2, min_improvement=0.1)
    assert [patience.is_over(loss, settings) for loss in (3.0, 2.95, 2.8, 2.79, 2.75)] == [False] * 4 + [True]
    assert not any(Patience().is_over(1.0, EarlyStopSettings()) for _ in range(9))


def test_a_run_stops_early_and_says_so(settings, tmp_path):
    stop = EarlyStopSettings(patience=1, min_improvement=99.0)
    settings = dataclasses.replace(settings, validation_every=2, early_stop=stop)
    account = train(assemble(settings), plan_of(settings), tmp_path)
    assert (account.step, account.stopped_early) == (4, True)


def test_a_run_ends_with_its_best_weights_where_that_is_asked_for(settings, tmp_path):
    """From step 6 on the objective teaches the opposite, so a measurement before the last is the best."""
    best = EarlyStopSettings(restore_best=True)
    settings = dataclasses.replace(settings, validation_every=2, early_stop=best)

    def trained(folder, *stops):
        for steps in stops:
            parts = assemble(settings)
            wrong = Leaping(range(max(0, 6 - steps_done(folder)), 99), by=-1.0)
            account = train(
                dataclasses.replace(parts, objective=wrong),
                dataclasses.replace(plan_of(settings), steps=steps),
                folder,
            )
        return account, parts.model.state_dict()

    account, weights = trained(tmp_path / "whole", settings.steps)
    rows = [row for row in read_metrics(tmp_path / "whole/metrics.jsonl") if "validation_loss" in row]
    losses = {row["step"]: row["validation_loss"] for row in rows}
    best_step = min(losses, key=losses.get)
    assert 0 < best_step < account.step == 12
    assert account.restored_step == best_step
    assert account.after["validation_loss"] == losses[best_step]
    state = SavedState(tmp_path / f"whole/state/step-{best_step:06d}")
    assert all(torch.equal(state[name], weight) for name, weight in weights.items() if name in state)
    again, found = trained(tmp_path / "whole", settings.steps)
    assert again.restored_step == best_step
    assert all(torch.equal(found[name], weight) for name, weight in weights.items())


def test_going_back_to_the_best_needs_something_held_out(settings, tmp_path):
    settings = dataclasses.replace(settings, early_stop=EarlyStopSettings(restore_best=True))
    parts = dataclasses.replace(assemble(settings), validate=dict)
    with pytest.raises(ConfigError, match=r"no figure state.best_metric=validation_loss \(measured: nothing, since"):
        train(parts, dataclasses.replace(plan_of(settings), steps=1), tmp_path)


def test_a_run_goes_on_from_a_model(tiny_words, pretrained, tokens, documents, tmp_path, capsys):
    words = [word for word in tiny_words if not word.startswith("model.")]
    assert main(["pretrain", *words, f"continue_from={pretrained}", f"output={tmp_path / 'm'}"]) == 0
    before, after = (json.loads((f / "manifest.json").read_text())["stats"] for f in (pretrained, tmp_path / "m"))
    assert after["before"]["validation_loss"] == pytest.approx(before["after"]["validation_loss"], rel=1e-6)
    assert after["after"]["validation_loss"] < after["before"]["validation_loss"]
    assert main(["tokenizer", f"documents={documents}", "vocab_size=300", f"output={tmp_path / 't'}"]) == 0
    shutil.copytree(pretrained, tmp_path / "other", ignore=shutil.ignore_patterns("manifest.json"))
    shutil.copy(tmp_path / "t/tokenizer.json", tmp_path / "other/tokenizer.json")
    for extra, message in [
        (f"continue_from={tmp_path / 'other'}", f"not the tokenizer of {tmp_path / 'other'}; tokenize with"),
        (f"continue_from={tmp_path / 'absent'}", "absent: no such folder"),
    ]:
        assert main(["pretrain", *words, extra, f"output={tmp_path / 'n'}"]) == 2
        assert message in capsys.readouterr().err
    assert main(["pretrain", *tiny_words, f"continue_from={pretrained}", f"output={tmp_path / 'n'}"]) == 2
    assert "model.* shapes a new model" in capsys.readouterr().err


def test_data_that_changed_under_a_run_are_named(tiny_words, tokens, tmp_path, capsys, monkeypatch):
    """A plain folder (no manifest) whose file keeps its size; the run was stopped half-way."""
    shutil.copytree(tokens, tmp_path / "tokens", ignore=shutil.ignore_patterns("manifest.json"))
    words = [*tiny_words, f"tokens={tmp_path / 'tokens'}", f"output={tmp_path / 'm'}"]
    from nemo_core.data import windows

    batch = windows.PretrainData.batch
    monkeypatch.setattr(
        windows.PretrainData, "batch", lambda self, step: Disturbed(Original(self, batch), 4).batch(step)
    )
    assert main(["pretrain", *words]) == 75
    monkeypatch.setattr(windows.PretrainData, "batch", batch)
    data = bytearray((tmp_path / "tokens/train.bin").read_bytes())
    data[0] ^= 1
    (tmp_path / "tokens/train.bin").write_bytes(data)
    capsys.readouterr()
    assert main(["pretrain", *words]) == 2
    assert "tokens/train.bin: changed since the run in" in capsys.readouterr().err
    assert (tmp_path / "m.partial/state").is_dir(), "the state is kept"


@dataclasses.dataclass
class Original:
    """Calls the unpatched method."""

    data: object
    method: object

    def batch(self, step):
        return self.method(self.data, step)


def test_metrics_tell_what_the_machine_does(pretrained):
    rows = [row for row in read_metrics(pretrained / "metrics.jsonl") if "loss" in row]
    assert all(0 <= row["data_wait_s"] < 1 and row["memory_gib"] > 0.05 and 0 < row["mfu"] < 1 for row in rows)
