"""Whole runs over several processes learn what one learns, survive the loss of one, and go on under another plan."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nemo_core.checkpoint.folder import copy_tokenizer, save_model
from nemo_core.checkpoint.state_store import saved_steps
from nemo_core.cli import main
from nemo_core.config import ModelConfig, MoEConfig
from nemo_core.model.decoder import Decoder
from nemo_core.train.metrics import read_metrics

pytestmark = pytest.mark.slow


def stats(folder) -> dict:
    return json.loads((folder / "manifest.json").read_text())["stats"]


def digest(folder) -> str:
    return json.loads((folder / "manifest.json").read_text())["digest"]


def launcher(processes: int, *options: str) -> list[str]:
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), *options]
    return [sys.executable, "-m", *launch, "-m", "nemo_core"]


def started(words, *, processes=2, options=()) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*launcher(processes, *options), *words]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finished(words, **options) -> str:
    process = started(words, **options)
    _, told = process.communicate(timeout=240)
    assert process.returncode == 0, told[-3000:]
    return told


def run_until(process: subprocess.Popen, metrics: Path, step: int) -> None:
    while max((row["step"] for row in read_metrics(metrics)), default=0) < step:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)


def worker_of(process: subprocess.Popen, rank: int) -> int:
    """The process id of the worker with that rank."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        if f"RANK={rank}".encode() in environment:
            return int(child)
    raise AssertionError(f"no worker {rank} among {children}")


PLANS = {
    "fsdp, averaging": ["parallel.fsdp=2", "ema.decay=0.9"],
    "fsdp, muon": ["parallel.fsdp=2", "optimizer.kind=muon"],
    "tensor, the key head shared": ["parallel.tensor=2"],
    "pipeline": ["parallel.pipeline=2", "micro_batch_size=1", "model.num_layers=2"],
    "context": ["parallel.context=2"],
    "fsdp, recomputing": ["parallel.fsdp=2", "parallel.recompute=selective"],
}


@pytest.mark.parametrize("name", PLANS)
def test_two_processes_learn_what_one_learns(tiny_words, tmp_path, name):
    same = [word for word in PLANS[name] if word.startswith(("model.", "ema.", "optimizer."))]
    words = ["pretrain", *tiny_words, *same]
    assert main([*words, f"output={tmp_path / 'one'}"]) == 0
    finished([*words, *PLANS[name], f"output={tmp_path / 'two'}"])
    one, two = stats(tmp_path / "one"), stats(tmp_path / "two")
    assert two["before"] == pytest.approx(one["before"], rel=1e-5)
    assert two["after"] == pytest.approx(one["after"], rel=1e-3)
    assert ("ema_validation_loss" in two["after"]) == ("ema.decay=0.9" in PLANS[name])
    for found in (tmp_path / "two").rglob("model.safetensors") if "muon" not in name else ():
        expected = load_file(tmp_path / "one" / found.relative_to(tmp_path / "two"))
        apart = {tensor: float((values - expected[tensor]).abs().max()) for tensor, values in load_file(found).items()}
        assert max(apart.values()) < 5e-3, apart


@pytest.mark.parametrize("method", ["full", "lora"])
def test_fine_tuning_with_shared_out_weights_is_that_of_one_process(pretrained, questions, tmp_path, method):
    words = ["sft", f"model={pretrained}", f"conversations={questions}", f"method={method}", "steps=4", "batch_size=4"]
    words += ["threads=1", "tensorboard=false", "sequence_length=128", "sample_tokens=4", "device=cpu"]
    words += ["ema.decay=0.9"] if method == "full" else []
    assert main([*words, f"output={tmp_path / 'one'}"]) == 0
    finished([*words, "parallel.fsdp=2", f"output={tmp_path / 'two'}"])
    one, two = stats(tmp_path / "one"), stats(tmp_path / "two")
    assert two["after"] == pytest.approx(one["after"], rel=1e-3)
    assert [row["before"] for row in two["samples"]] == [row["before"] for row in one["samples"]]
    assert ("ema_validation_loss" in two["after"]) == (method == "full")
    written = "ema/model.safetensors" if method == "full" else "model.safetensors"  # with the adapter merged
    expected = load_file(tmp_path / "one" / written)
    for name, values in load_file(tmp_path / "two" / written).items():
        torch.testing.assert_close(values, expected[name], atol=1e-4, rtol=1e-3)
    if method == "lora":
        kept, alone = (load_file(tmp_path / run / "adapter/adapter_model.safetensors") for run in ("two", "one"))
        assert {name: values.shape for name, values in kept.items()} == {n: v.shape for n, v in alone.items()}


@pytest.mark.parametrize("method", ["prompt", "ptuning", "ia3", "adapter"])
def test_adapters_written_by_two_processes_are_those_of_one(pretrained, questions, tmp_path, method):
    words = ["sft", f"model={pretrained}", f"conversations={questions}", f"method={method}", "merge=false", "steps=3"]
    words += ["threads=1", "tensorboard=false", "sequence_length=128", "samples=2", "sample_tokens=4", "device=cpu"]
    assert main([*words, f"output={tmp_path / 'one'}"]) == 0
    finished([*words, "parallel.tensor=2", f"output={tmp_path / 'two'}"])
    kept, alone = (load_file(tmp_path / run / "adapter_model.safetensors") for run in ("two", "one"))
    assert kept.keys() == alone.keys()
    for name, values in kept.items():
        torch.testing.assert_close(values, alone[name], atol=1e-3, rtol=1e-3)
    one, two = stats(tmp_path / "one"), stats(tmp_path / "two")
    assert [row["before"] for row in two["samples"]] == [row["before"] for row in one["samples"]]


def test_a_stopped_run_goes_on_under_another_plan(tiny_words, tmp_path, pretrained):
    output, words = tmp_path / "model", ["pretrain", *tiny_words, "steps=60", "save_every=1"]
    process = started([*words, "parallel.fsdp=2", f"output={output}"])
    run_until(process, tmp_path / "model.partial/metrics.jsonl", 3)
    os.kill(worker_of(process, 1), signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    assert re.search(r"asked to stop; the state after step \d+ is saved", told), told[-3000:]
    assert saved_steps(tmp_path / "model.partial/state")
    assert main([*words, f"output={output}"]) == 0
    assert main([*words, f"output={tmp_path / 'whole'}"]) == 0
    assert stats(output)["after"] == pytest.approx(stats(tmp_path / "whole")["after"], rel=1e-3)


def test_the_others_end_with_a_message_when_one_dies_and_the_same_command_goes_on(tiny_words, tmp_path):
    output, words = tmp_path / "model", ["pretrain", *tiny_words, "steps=80", "save_every=1"]
    process = started([*words, f"output={output}"])
    run_until(process, tmp_path / "model.partial/metrics.jsonl", 3)
    os.kill(worker_of(process, 1), signal.SIGKILL)
    _, told = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "another process of this run died" in told, told[-3000:]
    assert "The same command continues from the last saved state" in told
    finished([*words, f"output={output}"])
    finished([*words, f"output={tmp_path / 'whole'}"])
    assert digest(output) == digest(tmp_path / "whole")


def test_torchrun_restarts_a_run_that_lost_a_process_and_it_ends_bit_for_bit(tiny_words, tmp_path):
    output, words = tmp_path / "model", ["pretrain", *tiny_words, "steps=80", "save_every=1", "parallel.fsdp=2"]
    process = started([*words, f"output={output}"], options=("--max-restarts", "1"))
    run_until(process, tmp_path / "model.partial/metrics.jsonl", 3)
    os.kill(worker_of(process, 0), signal.SIGKILL)
    _, told = process.communicate(timeout=240)
    assert process.returncode == 0, told[-3000:]
    finished([*words, f"output={tmp_path / 'whole'}"])
    assert digest(output) == digest(tmp_path / "whole")


@pytest.fixture
def mixture_words(tiny_words, tokens, tmp_path) -> list[str]:
    """Settings of a run that goes on with a small mixture of experts."""
    shape = {"vocab_size": 320, "hidden_size": 32, "num_layers": 2, "num_heads": 2, "num_kv_heads": 2, "head_dim": 16}
    moe = MoEConfig(num_experts=4, top_k=2, ffn_size=32)
    config = ModelConfig(family="mixtral", ffn_size=32, max_positions=64, moe=moe, **shape)
    save_model(Decoder(config, seed=0), tmp_path / "first")
    copy_tokenizer(tokens / "tokenizer", tmp_path / "first")
    return [*(word for word in tiny_words if not word.startswith("model.")), f"continue_from={tmp_path / 'first'}"]


def test_experts_in_two_processes_learn_what_one_learns_and_a_lost_process_changes_no_bit(mixture_words, tmp_path):
    output, words = tmp_path / "model", ["pretrain", *mixture_words, "save_every=1"]
    shared_out = [*words, "parallel.fsdp=2", "parallel.expert=2"]
    process = started([*shared_out, f"output={output}"], options=("--max-restarts", "1"))
    run_until(process, tmp_path / "model.partial/metrics.jsonl", 3)
    os.kill(worker_of(process, 1), signal.SIGKILL)
    _, told = process.communicate(timeout=240)
    assert process.returncode == 0, told[-3000:]
    finished([*shared_out, f"output={tmp_path / 'whole'}"])
    assert digest(output) == digest(tmp_path / "whole")
    assert main([*words, f"output={tmp_path / 'one'}"]) == 0
    assert stats(output)["after"] == pytest.approx(stats(tmp_path / "one")["after"], rel=1e-3)


def test_a_process_that_does_not_answer_ends_the_others_in_time(tiny_words, tmp_path):
    words = ["pretrain", *tiny_words, "steps=100000", f"output={tmp_path / 'model'}", "parallel.timeout_s=5"]
    process = started(words)
    run_until(process, tmp_path / "model.partial/metrics.jsonl", 3)
    sleeper = worker_of(process, 1)
    os.kill(sleeper, signal.SIGSTOP)
    try:
        _, told = process.communicate(timeout=120)
    finally:
        os.kill(sleeper, signal.SIGCONT) if Path(f"/proc/{sleeper}").exists() else None
    assert "did not answer within parallel.timeout_s=5 s" in told, told[-3000:]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["parallel.tensor=4"], "parallel.tensor=4 does not divide model.num_heads=2; use one of [1, 2]"),
        (["parallel.fsdp=3"], "parallel.fsdp=3 needs a multiple of 3 processes, but WORLD_SIZE=2"),
    ],
)
def test_impossible_plans_are_named_by_every_process(tiny_words, tmp_path, words, message):
    process = started(["pretrain", *tiny_words, f"output={tmp_path / 'model'}", *words])
    _, told = process.communicate(timeout=120)
    assert message in told, told[-3000:]
    assert process.returncode != 0
