"""Pretraining learns, and an interrupted run ends with the very bytes of an uninterrupted one."""

import dataclasses
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nemo_core.checkpoint.folder import load_model
from nemo_core.checkpoint.state import load_state
from nemo_core.cli import main
from nemo_core.data.batch import Batch
from nemo_core.foundation import settings as settings_module
from nemo_core.foundation.errors import Preempted
from nemo_core.tokenizer.load import load_tokenizer
from nemo_core.train.loop import accumulate, train
from nemo_core.train.measure import measure
from nemo_core.train.metrics import read_metrics
from nemo_core.train.objective import next_token_loss
from nemo_core.train.pretrain import assemble, held_out
from nemo_core.train.recovery import Diverged
from nemo_core.train.session import make_plan
from nemo_core.train.settings import OptimizerSettings, PretrainSettings

from .interrupting import Interrupting


def manifest(folder) -> dict:
    return json.loads((folder / "manifest.json").read_text())


@pytest.fixture
def settings(tiny_words, tmp_path) -> PretrainSettings:
    return settings_module.load(PretrainSettings, None, [*tiny_words, f"output={tmp_path / 'model'}"])


def plan_of(settings, **changes):
    return dataclasses.replace(make_plan(settings, label="test", steps=settings.steps), **changes)


def test_held_out_loss_falls_from_that_of_a_guess(pretrained):
    stats = manifest(pretrained)["stats"]
    assert stats["before"]["validation_loss"] == pytest.approx(math.log(320), abs=0.3)
    assert stats["after"]["validation_loss"] < stats["before"]["validation_loss"] - 1
    assert stats["after"]["validation_perplexity"] == pytest.approx(math.exp(stats["after"]["validation_loss"]))
    assert (stats["objective"], stats["steps"], stats["tokens"], stats["skipped_steps"]) == (
        "pretrain",
        12,
        12 * 128,
        0,
    )


def test_the_checkpoint_holds_the_model_that_was_measured(pretrained, settings):
    model = load_model(pretrained)
    parts = assemble(settings)
    batches = held_out(settings, load_tokenizer(pretrained))
    assert measure(model, batches).loss == manifest(pretrained)["stats"]["after"]["validation_loss"]
    assert parts.model.config == model.config


def test_metrics_tell_every_step(pretrained):
    rows = [row for row in read_metrics(pretrained / "metrics.jsonl") if "loss" in row]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert all({"tokens", "time_s", "learning_rate", "grad_norm", "tokens_per_s"} <= row.keys() for row in rows)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, Preempted), (signal.SIGINT, KeyboardInterrupt)])
def test_a_run_that_was_asked_to_stop_continues_bit_for_bit(settings, tmp_path, pretrained, number, error):
    for at in (0, 5, 11):
        parts = assemble(settings)
        stopped = dataclasses.replace(parts, data=Interrupting(parts.data, at, number))
        with pytest.raises(error):
            train(stopped, plan_of(settings), tmp_path)
        assert load_state(tmp_path / "state")[1]["step"] == at + 1
    parts = assemble(settings)
    account = train(parts, plan_of(settings), tmp_path)
    assert account.before == manifest(pretrained)["stats"]["before"]
    for name, weight in load_model(pretrained).named_parameters():
        assert torch.equal(weight, parts.model.get_parameter(name)), name
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl") if "loss" in row] == list(range(1, 13))


def test_muon_learns_and_continues_bit_for_bit(settings, tmp_path):
    settings = dataclasses.replace(settings, optimizer=OptimizerSettings(kind="muon"))
    whole = assemble(settings)
    account = train(whole, plan_of(settings), tmp_path / "whole")
    assert account.after["validation_loss"] < account.before["validation_loss"] - 1
    parts = assemble(settings)
    with pytest.raises(Preempted):
        train(dataclasses.replace(parts, data=Interrupting(parts.data, 6, signal.SIGTERM)), plan_of(settings), tmp_path)
    resumed = assemble(settings)
    train(resumed, plan_of(settings), tmp_path)
    for name, weight in whole.model.named_parameters():
        assert torch.equal(weight, resumed.model.get_parameter(name)), name


def undisturbed(words, tmp_path):
    """The folder that `words` make when nothing happens."""
    assert main([*words, f"output={tmp_path / 'undisturbed'}"]) == 0
    return tmp_path / "undisturbed"


def started(words, metrics, *, step):
    """A process that runs `words` and has logged `step`."""
    process = subprocess.Popen([sys.executable, "-m", "nemo_core", *words], stderr=subprocess.PIPE, text=True)
    while max((row["step"] for row in read_metrics(metrics)), default=0) < step:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.005)
    return process


@pytest.mark.slow
def test_a_run_killed_at_any_step_continues_bit_for_bit(tiny_words, tmp_path):
    output = tmp_path / "model"
    words = ["pretrain", *tiny_words, "steps=200", "save_every=1"]
    process = started(
        [*words, f"output={output}"], tmp_path / "model.partial/metrics.jsonl", step=random.randint(1, 60)
    )
    process.kill()
    process.communicate()
    assert not output.exists()
    assert main([*words, f"output={output}"]) == 0
    whole = undisturbed(words, tmp_path)
    assert (output / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert manifest(output)["digest"] == manifest(whole)["digest"]


@pytest.mark.slow
def test_sigterm_ends_a_run_with_code_75_and_the_same_command_finishes_it(tiny_words, tmp_path):
    words = ["pretrain", *tiny_words, "steps=1000"]
    output = tmp_path / "model"
    process = started([*words, f"output={output}"], tmp_path / "model.partial/metrics.jsonl", step=1)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 75, error
    assert "asked to stop; the state after step" in error
    assert main([*words, f"output={output}"]) == 0
    assert manifest(output)["digest"] == manifest(undisturbed(words, tmp_path))["digest"]


@pytest.mark.parametrize("rows", [1, 3])
def test_loss_and_gradient_are_the_same_however_a_batch_is_split(settings, rows):
    parts = assemble(settings)
    batch = parts.data.batch(0)
    uneven = dataclasses.replace(batch, targets_BT=batch.targets_BT.clone())
    uneven.targets_BT[0, 3:] = -100
    whole = accumulate(parts, plan_of(settings), uneven, num_targets=uneven.num_targets)
    expected = {name: weight.grad.clone() for name, weight in parts.model.named_parameters()}
    split = accumulate(parts, plan_of(settings, micro_batch_size=rows), uneven, num_targets=uneven.num_targets)
    assert split == pytest.approx(whole, rel=1e-6)
    for name, weight in parts.model.named_parameters():
        torch.testing.assert_close(weight.grad, expected[name], atol=1e-7, rtol=1e-4)


@dataclasses.dataclass
class Poisoned:
    """An objective whose loss is not a number in some calls."""

    bad: range
    calls: int = 0

    def __call__(self, model, batch):
        self.calls += 1
        return next_token_loss(model, batch) * (math.nan if self.calls - 1 in self.bad else 1.0)


def test_a_step_without_a_finite_loss_is_skipped_and_counted(settings, tmp_path):
    parts = assemble(settings)
    account = train(dataclasses.replace(parts, objective=Poisoned(range(3, 5))), plan_of(settings), tmp_path)
    assert (account.step, account.skipped) == (12, 2)
    assert all(weight.isfinite().all() for weight in parts.model.parameters())


def test_losses_that_stay_infinite_end_the_run(settings, tmp_path):
    parts = dataclasses.replace(assemble(settings), objective=Poisoned(range(2, 99)))
    with pytest.raises(Diverged, match=r"step 7: loss nan.*5 steps in a row.*lower learning_rate"):
        train(parts, plan_of(settings), tmp_path)


def test_separate_documents_changes_what_a_window_sees(settings):
    apart = assemble(dataclasses.replace(settings, separate_documents=True, sequence_length=256, batch_size=2))
    batch = apart.data.batch(0)
    assert batch.segments_BT is not None
    assert int(batch.segments_BT.max()) >= 1
    assert measure(apart.model, [batch]).loss != measure(apart.model, [Batch(batch.ids_BT, batch.targets_BT)]).loss


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tiny_words, tmp_path, pretrained):
    words = [*tiny_words, f"output={tmp_path / 'model'}", "batch_size=4"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nemo_core", "pretrain"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *launcher, *words], check=True, env=environment, timeout=120, capture_output=True)
    one, two = manifest(pretrained)["stats"], manifest(tmp_path / "model")["stats"]
    assert two["before"] == pytest.approx(one["before"], rel=1e-6)
    assert two["after"] == pytest.approx(one["after"], rel=1e-4)
    assert two["tokens"] == one["tokens"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sequence_length=50000"], "tokens do not fill one window of sequence_length=5000"),
        (["sequence_length=64", "model.max_positions=32"], "longer than model.max_positions=32"),
        (["model.num_kv_heads=3"], "num_kv_heads=3 does not divide num_heads=2; use one of [1, 2]"),
        (["learning_rate=0"], "learning_rate: expected `float` > 0"),
        (["learning_rat=1"], "unknown key 'learning_rat'; did you mean 'learning_rate'"),
        (["schedule.kind=cosin"], "schedule.kind: invalid enum value 'cosin'"),
        (["size=giant"], "size='giant' is unknown; known: nano"),
        (["tokens=absent"], "absent: no such folder; training reads a folder of tokens: nemo-core tokenize"),
        ([f"tokens={__file__}"], f"{__file__}: a file; training reads a folder of tokens"),
        (["tokens="], "tokens: expected a path, got nothing; is a variable of the shell empty?"),
    ],
)
def test_impossible_settings_are_named(tiny_words, tmp_path, capsys, words, message):
    assert main(["pretrain", *tiny_words, f"output={tmp_path / 'model'}", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("output", [".", "/"])
def test_an_output_without_a_name_of_its_own_is_refused(tiny_words, tmp_path, monkeypatch, capsys, output):
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", *tiny_words, f"output={output}"]) == 2
    assert f"{output}: exists already" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_asking_for_a_device_that_is_not_there_is_named(tiny_words, tmp_path, capsys):
    assert main(["pretrain", *tiny_words, f"output={tmp_path / 'model'}", "device=cuda"]) == 2
    assert "finds no CUDA device here; use device=cpu" in capsys.readouterr().err


def test_tokens_of_another_tokenizer_are_named(tiny_words, tmp_path, capsys, tokens, documents):
    assert main(["tokenizer", f"documents={documents}", "vocab_size=270", f"output={tmp_path / 'other'}"]) == 0
    (tmp_path / "mixed").mkdir()
    for name in ("train.bin", "train.idx"):
        shutil.copy(tokens / name, tmp_path / "mixed" / name)
    shutil.copytree(tmp_path / "other", tmp_path / "mixed/tokenizer")
    words = [*tiny_words, f"tokens={tmp_path / 'mixed'}", f"output={tmp_path / 'model'}"]
    assert main(["pretrain", *words]) == 2
    assert "its tokenizer has 270 tokens: another tokenizer made it" in capsys.readouterr().err


def test_altered_tokens_and_an_output_that_exists_are_named(tiny_words, tmp_path, capsys, tokens, pretrained):
    shutil.copytree(tokens, tmp_path / "tokens")
    data = bytearray((tmp_path / "tokens/train.bin").read_bytes())
    data[5] ^= 1
    (tmp_path / "tokens/train.bin").write_bytes(data)
    words = [*tiny_words, f"tokens={tmp_path / 'tokens'}", f"output={tmp_path / 'model'}"]
    assert main(["pretrain", *words]) == 2
    assert "train.bin: altered since it was written" in capsys.readouterr().err
    assert main(["pretrain", *tiny_words, f"output={pretrained}"]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(options, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_stops_the_run_with_the_last_state_whole_and_it_continues(
    tiny_words, small_disk: Path, capsys, pretrained
):
    words = ["pretrain", *tiny_words, "save_every=1", f"output={small_disk / 'model'}"]
    assert main(words) == 75
    told = capsys.readouterr().err
    assert re.search(r"the state after step 12 was not saved: no space left while writing .* training goes on", told)
    assert "error: no space left while writing" in told
    assert load_state(small_disk / "model.partial/state")[1]["begun"]
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert main(words) == 0
    assert manifest(small_disk / "model")["digest"] == manifest(pretrained)["digest"]
