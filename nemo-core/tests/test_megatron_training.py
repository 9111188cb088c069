"""The megatron implementation learns what the native one learns, alone and in two processes, and takes up its state."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nemo_core.checkpoint.folder import copy_tokenizer, load_model, save_model
from nemo_core.checkpoint.state import load_state
from nemo_core.cli import main
from nemo_core.config import MLAConfig, ModelConfig, MoEConfig
from nemo_core.foundation import artifact
from nemo_core.foundation.errors import Preempted
from nemo_core.train.recovery import BadSteps

from .workers.redrawn import redrawn

pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

MEGATRON = "implementation=megatron"


def losses(folder: Path) -> list[float]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [row["loss"] for row in map(json.loads, lines) if "loss" in row]


def in_two_processes(*words: str) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "nemo_core", "pretrain", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-12000:]


def test_losses_and_weights_equal_native_ones(tiny_words, pretrained, tmp_path):
    assert main(["pretrain", *tiny_words, MEGATRON, f"output={tmp_path / 'model'}"]) == 0
    assert losses(tmp_path / "model") == pytest.approx(losses(pretrained), rel=1e-5)
    before, after = (artifact.read(folder, "checkpoint").stats for folder in (pretrained, tmp_path / "model"))
    assert after["after"] == pytest.approx(before["after"], rel=1e-5)


@pytest.mark.parametrize(
    "layout",
    ["tensor=2", pytest.param("data=2", marks=pytest.mark.slow), pytest.param("fsdp=2", marks=pytest.mark.slow)],
)
def test_two_processes_learn_what_one_learns(tiny_words, pretrained, tmp_path, layout):
    words = [word for word in tiny_words if not word.startswith("model.num_kv_heads")]
    expected = pretrained
    if layout == "tensor=2":
        words.append("model.num_kv_heads=2")
        expected = tmp_path / "native"
        assert main(["pretrain", *words, f"output={expected}"]) == 0
    else:
        words = tiny_words
    in_two_processes(*words, MEGATRON, f"parallel.{layout}", f"output={tmp_path / 'model'}")
    assert losses(tmp_path / "model") == pytest.approx(losses(expected), rel=2e-4)
    assert_same_state(tmp_path / "model", expected, 2e-3)


@pytest.mark.slow
def test_torchs_own_data_parallel_wraps_the_model(tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    worker = [str(Path(__file__).parent / "workers/megatron_data_parallel.py"), str(tmp_path / "losses.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *worker], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "losses.json").read_text())
    assert found["shared"] == pytest.approx(found["native"], rel=1e-5)
    assert found["native"][-1] < found["native"][0] - 0.1


def assert_same_state(folder: Path, expected: Path, rel: float) -> None:
    """Both states hold the same tensors, nearly: weights, moments and step counts under canonical names."""
    (found, _), (wanted, _) = load_state(folder / "state"), load_state(expected / "state")
    names = {name for name in wanted if not name.startswith("rng.")}
    ours = {name for name in found if "canonical." in name}  # a part of reordered rows is no part of a folder's tensor
    held = {name for name in found if not name.startswith("rng.")} - ours
    assert names == held | {name.replace("canonical.", "") for name in ours}
    for name in held:
        torch.testing.assert_close(
            found[name], wanted[name], rtol=rel, atol=rel, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("ways", [("native", "megatron"), ("megatron", "native")])
def test_a_run_goes_on_with_the_other_implementation(tiny_words, pretrained, tmp_path, monkeypatch, ways):
    words = ["pretrain", *tiny_words, f"output={tmp_path / 'model'}", "save_every=1"]
    right = BadSteps.is_bad

    def stops_at_six(self, step, **figures):
        if step == 6:
            raise Preempted("as if the machine were taken")
        return right(self, step, **figures)

    monkeypatch.setattr(BadSteps, "is_bad", stops_at_six)
    assert main([*words, f"implementation={ways[0]}"]) == 75
    monkeypatch.setattr(BadSteps, "is_bad", right)
    assert main([*words, f"implementation={ways[1]}"]) == 0
    assert losses(tmp_path / "model") == pytest.approx(losses(pretrained), rel=1e-5)
    assert_same_state(tmp_path / "model", pretrained, 1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["parallel.pipeline=2"], "parallel.pipeline=2 needs 2 processes|parallel.pipeline=2 needs a multiple of 2"),
        (["parallel.recompute=full"], "parallel.recompute=full is not offered by implementation=megatron"),
        (["fp8.format=hybrid"], "implementation=megatron: fp8.format=hybrid needs a GPU"),
    ],
)
def test_what_it_does_not_offer_is_refused(tiny_words, tmp_path, capsys, words, message):
    assert main(["pretrain", *tiny_words, MEGATRON, *words, f"output={tmp_path / 'model'}"]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_answers_are_learnt_as_natively(pretrained, questions, tmp_path):
    words = [
        *(f"model={pretrained}", f"conversations={questions}", "method=full", "steps=3", "sequence_length=128"),
        *("batch_size=4", "threads=1", "samples=1", "sample_tokens=4", "tensorboard=false"),
    ]
    for name in ("native", "megatron"):
        assert main(["sft", *words, f"implementation={name}", f"output={tmp_path / name}"]) == 0
    assert losses(tmp_path / "megatron") == pytest.approx(losses(tmp_path / "native"), rel=1e-4)
    one, two = (artifact.read(tmp_path / name, "checkpoint").stats for name in ("native", "megatron"))
    assert two["trained_parameters"] == one["trained_parameters"]
    assert two["after"] == pytest.approx(one["after"], rel=1e-3)


def test_adapters_need_the_native_implementation(pretrained, questions, tmp_path, capsys):
    words = [f"model={pretrained}", f"conversations={questions}", "method=lora", f"output={tmp_path / 'x'}"]
    assert main(["sft", *words, MEGATRON, "sequence_length=128"]) == 2
    assert "method=lora needs implementation=native" in capsys.readouterr().err


def test_a_model_is_gone_on_with_without_building_the_native_one(tiny_words, pretrained, tmp_path, monkeypatch):
    """Each process reads the tensors it holds from the folder."""
    words = [word for word in tiny_words if not word.startswith(("model.", "size="))]
    words = ["pretrain", *words, f"continue_from={pretrained}", "steps=2"]
    assert main([*words, f"output={tmp_path / 'native'}"]) == 0

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the whole model was read")

    monkeypatch.setattr("nemo_core.train.implementation.load_model", refuse)
    assert main([*words, MEGATRON, f"output={tmp_path / 'megatron'}"]) == 0
    assert losses(tmp_path / "megatron") == pytest.approx(losses(tmp_path / "native"), rel=1e-4)


DEEPSEEK = ModelConfig(
    family="deepseek_v3",
    vocab_size=320,
    hidden_size=32,
    num_layers=2,
    num_heads=2,
    num_kv_heads=2,
    head_dim=14,
    ffn_size=40,
    max_positions=64,
    mla=MLAConfig(kv_rank=11, q_rank=9, plain_dim=8, rotary_dim=6, value_dim=7),
    moe=MoEConfig(
        num_experts=4,
        top_k=2,
        ffn_size=24,
        score="sigmoid",
        correction_bias=True,
        shared_ffn_size=24,
        dense_layers=(0,),
    ),
)
BALANCED = ["experts.balance_loss=0.05", "experts.bias_rate=0.01", "ema.decay=0.6"]


@pytest.fixture(scope="module")
def deepseek_words(tiny_words, pretrained, tmp_path_factory) -> list[str]:
    """Going on with a random DeepSeek model, its experts balanced and its weights averaged."""
    folder = tmp_path_factory.mktemp("deepseek")
    save_model(redrawn(DEEPSEEK), folder)
    copy_tokenizer(pretrained, folder)
    words = [word for word in tiny_words if not word.startswith(("model.", "size=", "steps=", "learning_rate="))]
    return ["pretrain", *words, f"continue_from={folder}", "steps=6", "learning_rate=0.001", *BALANCED]


def columns(folder: Path, name: str) -> list[float]:
    return [row[name] for row in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()) if name in row]


@pytest.fixture(scope="module")
def deepseek(deepseek_words, tmp_path_factory) -> Path:
    """What the native implementation makes of it."""
    folder = tmp_path_factory.mktemp("native") / "model"
    assert main([*deepseek_words, f"output={folder}"]) == 0
    return folder


@pytest.mark.parametrize("layout", ["alone", pytest.param("tensor=2", marks=pytest.mark.slow)])
def test_experts_are_balanced_and_weights_averaged_as_natively(deepseek_words, deepseek, tmp_path, layout):
    output = tmp_path / "model"
    if layout == "alone":
        assert main([*deepseek_words, MEGATRON, f"output={output}"]) == 0
    else:
        in_two_processes(*deepseek_words[1:], MEGATRON, f"parallel.{layout}", f"output={output}")
    for column in ("loss", "balance_loss", "ema_validation_loss", "grad_norm"):
        expected = columns(deepseek, column)
        assert expected
        assert columns(output, column) == pytest.approx(expected, rel=2e-4)
    assert_same_state(output, deepseek, 2e-3)
    average, last, expected = (load_model(folder).state_dict() for folder in (output / "ema", output, deepseek / "ema"))
    for name, weight in expected.items():
        torch.testing.assert_close(average[name], weight, rtol=2e-3, atol=2e-3)
    assert any(not torch.equal(average[name], last[name]) for name in expected)


@pytest.mark.parametrize("ways", [("native", "megatron"), ("megatron", "native")])
def test_averages_and_biases_go_on_with_the_other_implementation(deepseek_words, deepseek, tmp_path, monkeypatch, ways):
    words = [*deepseek_words, f"output={tmp_path / 'model'}", "save_every=1"]
    right = BadSteps.is_bad

    def stops_at_four(self, step, **figures):
        if step == 4:
            raise Preempted("as if the machine were taken")
        return right(self, step, **figures)

    monkeypatch.setattr(BadSteps, "is_bad", stops_at_four)
    assert main([*words, f"implementation={ways[0]}"]) == 75
    monkeypatch.setattr(BadSteps, "is_bad", right)
    assert main([*words, f"implementation={ways[1]}"]) == 0
    assert losses(tmp_path / "model") == pytest.approx(losses(deepseek), rel=1e-4)
    assert_same_state(tmp_path / "model", deepseek, 1e-3)
