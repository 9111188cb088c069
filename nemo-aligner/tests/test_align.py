"""The commands dpo and grpo end to end on the toy tasks: results, resumption, and what bad input gets."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nemo_aligner import train
from nemo_aligner.cli import main
from nemo_core.checkpoint.folder import load_model
from nemo_core.foundation import artifact
from nemo_core.foundation.errors import ConfigError, InputError
from nemo_core.train.metrics import read_metrics

REPEAT = [{"use": "nemo_aligner.selftest.toys:repeats_digit"}]


def dpo_words(toys, output, **more):
    words = {"model": toys.model, "preferences": toys.digits_to_sort, "output": output, "steps": 12}
    return words | {"batch_size": 8, "learning_rate": 1e-3, "validation_pairs": 32, "save_every": 4} | more


def grpo_words(toys, output, **more):
    words = {"model": toys.model, "conversations": toys.digits_to_repeat, "output": output, "steps": 6}
    words |= {"prompts_per_step": 2, "group_size": 4, "max_tokens": 6, "learning_rate": 1e-3, "rewards": REPEAT}
    return words | {"save_every": 2, "validation_prompts": 4} | more


def as_argv(words):
    return [f"{key}={json.dumps(value if not isinstance(value, Path) else str(value))}" for key, value in words.items()]


def test_dpo_learns_writes_a_model_and_tells_before_from_after(toys, tmp_path):
    result = train("dpo", **dpo_words(toys, tmp_path / "out", steps=40))
    assert result.before["loss"] == pytest.approx(0.693147, abs=1e-5)
    assert result.before["reward_accuracy"] == 0.5
    assert result.after["reward_accuracy"] > 0.8
    assert result.after["preference_accuracy"] > result.before["preference_accuracy"]
    manifest = artifact.read(tmp_path / "out", "checkpoint")
    assert manifest.stats["objective"] == "dpo"
    assert manifest.stats["pairs"] == {"train": 1200, "validation": 32, "too_long": 0}
    rows = list(read_metrics(tmp_path / "out/metrics.jsonl"))
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert {"loss", "margin", "preference_accuracy", "grad_norm", "learning_rate", "tokens_per_s"} <= rows[0].keys()
    load_model(tmp_path / "out")


def test_grpo_journals_its_rollouts_and_logs_what_happened(toys, tmp_path):
    result = train("grpo", **grpo_words(toys, tmp_path / "out"))
    assert set(result.before) == set(result.after) >= {"reward", "response_tokens", "truncated", "failed"}
    rows = list(read_metrics(tmp_path / "out/metrics.jsonl"))
    wanted = {"reward", "reward_std", "kl", "entropy", "clip_fraction", "logp_gap", "zero_variance_groups"}
    assert wanted <= rows[0].keys()
    assert max(row["logp_gap_max"] for row in rows) < 1e-4
    records = [json.loads(line) for line in (tmp_path / "out/state/rollouts.jsonl").read_text().splitlines()]
    assert [record["version"] for record in records] == list(range(6))
    assert all(len(s["answer"]["ids"]) == len(s["answer"]["logps"]) for r in records for s in r["samples"])


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_lora_aligns_through_a_low_rank_change_and_writes_a_merged_model(method, toys, tmp_path):
    adapter = {"rank": 4, "method": method}
    result = train("dpo", **dpo_words(toys, tmp_path / "d", steps=30, adapter=adapter, learning_rate=5e-3))
    assert result.after["margin"] > 0.1
    before, after = (dict(load_model(path).named_parameters()) for path in (toys.model, tmp_path / "d"))
    assert before.keys() == after.keys()
    assert (before["model.embed_tokens.weight"] == after["model.embed_tokens.weight"]).all()
    train("grpo", **grpo_words(toys, tmp_path / "g", steps=2, adapter={"rank": 2, "method": method}))
    assert max(row["logp_gap_max"] for row in read_metrics(tmp_path / "g/metrics.jsonl")) < 1e-4


def test_failed_samples_are_left_out_and_counted(toys, tmp_path, monkeypatch):
    (tmp_path / "flaky_reward.py").write_text(
        "def score(samples):\n    return [None if '3' in s.answer else len(set(s.answer)) / 10 for s in samples]\n"
    )
    monkeypatch.chdir(tmp_path)
    train("grpo", **grpo_words(toys, tmp_path / "out", rewards=[{"use": "flaky_reward:score"}], temperature=2.0))
    rows = list(read_metrics(tmp_path / "out/metrics.jsonl"))
    failed = sum(row["failed"] * 8 for row in rows)
    assert 0 < failed == artifact.load_manifest(tmp_path / "out").stats["failed_samples"]


def test_a_step_without_any_score_is_an_error(toys, tmp_path, monkeypatch):
    (tmp_path / "blind_reward.py").write_text("def score(samples):\n    return [None] * len(samples)\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="step 1: none of 8 answers could be scored"):
        train("grpo", **grpo_words(toys, tmp_path / "out", rewards=[{"use": "blind_reward:score"}]))


def test_several_updates_per_rollout_clip_what_has_moved_too_far(toys, tmp_path):
    words = grpo_words(toys, tmp_path / "out", updates_per_rollout=4, learning_rate=1e-2, clip_low=0.01, clip_high=0.01)
    train("grpo", **words)
    rows = list(read_metrics(tmp_path / "out/metrics.jsonl"))
    assert any(row["clip_fraction"] > 0 for row in rows)
    assert max(row["logp_gap_max"] for row in rows) < 1e-4


def data_digest(folder):
    return artifact.load_manifest(folder).digest


COMMANDS = [("dpo", dpo_words), ("grpo", grpo_words)]

BREAKING_REWARD = """
from pathlib import Path

def score(samples):
    calls = Path("calls.txt").read_text() if Path("calls.txt").exists() else ""
    Path("calls.txt").write_text(calls + ".")
    if len(calls) == 6 and Path("break").exists():
        raise KeyboardInterrupt
    return [len(set(s.answer)) / 10 for s in samples]
"""


def test_a_run_that_broke_off_replays_its_journal_and_ends_the_same(toys, tmp_path, monkeypatch):
    (tmp_path / "breaking_reward.py").write_text(BREAKING_REWARD)
    monkeypatch.chdir(tmp_path)
    words = grpo_words(toys, tmp_path / "whole", rewards=[{"use": "breaking_reward:score"}], steps=8, save_every=3)
    train("grpo", **words)
    Path("calls.txt").unlink()
    Path("break").touch()
    with pytest.raises(KeyboardInterrupt):
        train("grpo", **words | {"output": tmp_path / "broken"})
    journal = tmp_path / "broken.partial/state/rollouts.jsonl"
    assert len(journal.read_text().splitlines()) == 5
    train("grpo", **words | {"output": tmp_path / "broken"})
    assert data_digest(tmp_path / "broken") == data_digest(tmp_path / "whole")
    assert len(Path("calls.txt").read_text()) == 7 + 3 + 1


def test_sigterm_saves_leaves_with_75_and_the_same_command_continues(toys, tmp_path, capsys):
    train("dpo", **dpo_words(toys, tmp_path / "whole", steps=200))
    words = as_argv(dpo_words(toys, tmp_path / "out", steps=200))
    watcher = threading.Thread(target=terminate_at_step, args=(tmp_path / "out.partial", 3))
    watcher.start()
    assert main(["dpo", *words]) == 75
    watcher.join()
    assert "the same command continues there" in capsys.readouterr().err
    assert main(["dpo", *words]) == 0
    assert data_digest(tmp_path / "out") == data_digest(tmp_path / "whole")


def terminate_at_step(partial, step):
    wait_for_step(partial, step)
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "words_of"), COMMANDS)
def test_a_killed_run_ends_with_the_bytes_of_an_uninterrupted_one(command, words_of, toys, tmp_path):
    train(command, **words_of(toys, tmp_path / "whole", steps=60))
    argv = [sys.executable, "-m", "nemo_aligner", command, *as_argv(words_of(toys, tmp_path / "killed", steps=60))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    wait_for_step(tmp_path / "killed.partial", 11)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed").exists()
    train(command, **words_of(toys, tmp_path / "killed", steps=60))
    assert data_digest(tmp_path / "killed") == data_digest(tmp_path / "whole")
    whole, resumed = (list(read_metrics(tmp_path / name / "metrics.jsonl")) for name in ("whole", "killed"))
    assert [row["loss"] for row in whole] == [row["loss"] for row in resumed]


def wait_for_step(partial, step):
    deadline = time.monotonic() + 120
    while sum(1 for _ in read_metrics(partial / "metrics.jsonl")) < step:
        assert time.monotonic() < deadline, f"no step {step} in {partial}"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "words_of"), COMMANDS)
def test_the_same_recipe_gives_the_same_model_in_this_process_and_on_ray(command, words_of, toys, tmp_path):
    for cluster in ("inline", "ray"):
        argv = [sys.executable, "-m", "nemo_aligner", command]
        argv += as_argv(words_of(toys, tmp_path / cluster, cluster=cluster))
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    assert data_digest(tmp_path / "inline") == data_digest(tmp_path / "ray")
    inline, ray = (list(read_metrics(tmp_path / name / "metrics.jsonl")) for name in ("inline", "ray"))
    assert [row["loss"] for row in inline] == [row["loss"] for row in ray]


def test_one_generator_or_two_give_the_same_rewards(toys, tmp_path):
    for count in (1, 2):
        train("grpo", **grpo_words(toys, tmp_path / str(count), generators=count, steps=3))
    one, two = (list(read_metrics(tmp_path / str(count) / "metrics.jsonl")) for count in (1, 2))
    assert [row["reward"] for row in one] == [row["reward"] for row in two]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"beta": 0}, "beta: expected `float` > 0"),
        ({"model": "nowhere"}, "nowhere: no such folder"),
        ({"preferences": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
        ({"learning_rat": 1}, "unknown key 'learning_rat'; did you mean 'learning_rate'"),
        ({"max_length": 5}, "no pair fits into 5 tokens"),
    ],
)
def test_dpo_refuses(words, message, toys, tmp_path, capsys):
    assert main(["dpo", *as_argv(dpo_words(toys, tmp_path / "out") | words)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"group_size": 1}, "group_size: expected `int` >= 2"),
        ({"rewards": [{"use": "concize"}]}, "unknown reward 'concize'; did you mean 'concise'"),
        ({"rewards": [{"use": "concise", "wieght": 2}]}, "unknown field `wieght`"),
        ({"max_tokens": 64}, "max_tokens=64 leaves no room for a prompt in 64 tokens"),
        ({"max_tokens": 60}, "no prompt fits into the 4 tokens that max_tokens=60 leaves"),
    ],
)
def test_grpo_refuses(words, message, toys, tmp_path, capsys):
    assert main(["grpo", *as_argv(grpo_words(toys, tmp_path / "out") | words)]) == 2
    assert message in capsys.readouterr().err


def test_the_wrong_kind_of_artifact_is_named(toys, tmp_path, capsys):
    words = dpo_words(toys, tmp_path / "out") | {"preferences": toys.digits_to_repeat}
    assert main(["dpo", *as_argv(words)]) == 2
    assert "holds 'conversations', but 'preferences' is needed here" in capsys.readouterr().err
    assert main(["dpo", *as_argv(words | {"model": toys.digits_to_sort})]) == 2
    assert "holds 'preferences', but 'checkpoint'" in capsys.readouterr().err


def test_a_malformed_row_is_named_by_file_and_line(toys, tmp_path, capsys):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "1", "chosen": "1", "rejected": "2"}\n{"prompt": "1", "chosen": "1"}\n')
    assert main(["dpo", *as_argv(dpo_words(toys, tmp_path / "out") | {"preferences": path})]) == 2
    assert "pairs.jsonl:2: no rejected" in capsys.readouterr().err


def test_pairs_that_are_too_long_are_left_out_and_counted(toys, tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": "12", "chosen": "1", "rejected": "2" * (60 if i == 5 else 2)} for i in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train("dpo", **dpo_words(toys, tmp_path / "out", steps=2) | {"preferences": path})
    assert artifact.load_manifest(tmp_path / "out").stats["pairs"] == {"train": 9, "validation": 2, "too_long": 1}


def test_steps_in_which_nothing_can_be_learnt_are_told(toys, tmp_path, capsys):
    rewards = [{"use": "regex", "options": {"pattern": "^"}}]
    train("grpo", **grpo_words(toys, tmp_path / "out", rewards=rewards))
    assert "every answer of a group scored the same" in capsys.readouterr().err


def test_a_tokenizer_of_another_model_is_refused(toys, tmp_path, capsys):
    shutil.copytree(toys.model, tmp_path / "odd")
    (tmp_path / "odd/manifest.json").unlink()
    text = (tmp_path / "odd/tokenizer.json").read_text()
    words = json.loads(text)
    words["model"]["vocab"] |= {f"word{n}": 24 + n for n in range(20)}
    (tmp_path / "odd/tokenizer.json").write_text(json.dumps(words))
    for command, made in (("dpo", dpo_words), ("grpo", grpo_words)):
        assert main([command, *as_argv(made(toys, tmp_path / "out") | {"model": tmp_path / "odd"})]) == 2
        assert "not made for each other" in capsys.readouterr().err


def test_an_unknown_algorithm_is_named_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown algorithm 'dpoo'; did you mean 'dpo'\? \(known: dpo, grpo\)"):
        train("dpoo")
