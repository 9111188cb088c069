"""Twenty kills of each command at random changes of files: what gets its name is what an unbroken run makes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nemo_core.cli import main

KILLING = Path(__file__).parent / "killing.py"
TRAIN = ["steps=6", "batch_size=4", "threads=1", "tensorboard=false", "log_every=1", "save_every=1", "device=cpu"]


@pytest.fixture(scope="module")
def place(tmp_path_factory, documents, tokenizer_folder, tokens, pretrained, questions) -> dict[str, Path]:
    """What the commands read, by name."""
    folder = tmp_path_factory.mktemp("place")
    texts = [f"The {word} module" for word in ("array", "bisect", "json", "glob", "heapq", "enum", "locale", "decimal")]
    rows = {
        "reviews": [{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(texts)],
        "prompts": [{"prompt": text} for text in texts],
        "pairs": [{"query": text, "positive": f"{text} reads"} for text in texts],
        "preferences": [
            {
                "prompt": [{"role": "user", "content": text}],
                "chosen": [{"role": "assistant", "content": "It reads."}],
                "rejected": [{"role": "assistant", "content": "no"}],
            }
            for text in texts
        ],
    }
    for name, content in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    tuned = ["sft", f"model={pretrained}", f"conversations={questions}", "method=lora", *TRAIN, "sample_tokens=2"]
    assert main([*tuned, f"output={folder / 'tuned'}"]) == 0
    assert main(["convert", f"model={pretrained}", "format=megatron", f"output={folder / 'megatron'}"]) == 0
    adapter = folder / "tuned/adapter"
    merge = ["merge", f"model={pretrained}", f"adapter={adapter}", "keep_original=true"]
    assert main([*merge, f"output={folder / 'merged'}"]) == 0
    judge = ["train-classifier", f"model={pretrained}", f"texts={folder}/reviews.jsonl", *TRAIN]
    assert main([*judge, f"output={folder / 'judge'}"]) == 0
    given = {"documents": documents, "tokenizer": tokenizer_folder, "tokens": tokens, "model": pretrained}
    made = {name: folder / f"{name}.jsonl" for name in rows}
    made |= {name: folder / name for name in ("megatron", "merged", "judge")}
    return {**given, **made, "adapter": adapter, "questions": questions}


CASES = {
    "tokenizer": ["tokenizer", "documents={documents}", "vocab_size=300"],
    "tokenize": ["tokenize", "documents={documents}", "tokenizer={tokenizer}", "batch_bytes=2000", "workers=1"],
    "to shards": ["convert", "model={model}", "max_shard_gib=0.00002"],
    "to megatron": ["convert", "model={model}", "format=megatron"],
    "from megatron": ["convert", "model={megatron}"],
    "generate": ["generate", "model={model}", "prompts={prompts}", "max_tokens=8", "max_slots=2", "threads=1"],
    "evaluate": ["evaluate", "model={model}", "tokens={tokens}", "conversations={questions}", "threads=1"],
    "embed": ["embed", "model={model}", "texts={reviews}", "threads=1"],
    "classify": ["classify", "model={judge}", "texts={reviews}", "threads=1"],
    "merge": ["merge", "model={model}", "adapter={adapter}", "keep_original=true"],
    "unmerge": ["unmerge", "model={merged}"],
    "prune": ["prune", "model={model}", "tokens={tokens}", "ffn_size=32", "sequence_length=32", "threads=1"],
    "distill": ["distill", "teacher={model}", "continue_from={model}", "tokens={tokens}", "sequence_length=32", *TRAIN],
    "train-classifier": ["train-classifier", "model={model}", "texts={reviews}", *TRAIN],
    "train-reward": ["train-reward", "model={model}", "preferences={preferences}", *TRAIN],
    "train-embedding": [
        *["train-embedding", "model={model}", "pairs={pairs}", "steps=6"],
        *["batch_size=4", "threads=1", "save_every_s=0.00001"],
    ],
    "sft with lora": [
        *["sft", "model={model}", "conversations={questions}", "method=lora", "sequence_length=128", "sample_tokens=2"],
        *TRAIN,
    ],
    "pretrain, averaging": [
        *["pretrain", "tokens={tokens}", "sequence_length=32", *TRAIN, "model.num_layers=1", "model.hidden_size=32"],
        *["model.num_heads=2", "model.num_kv_heads=1", "model.head_dim=16", "model.ffn_size=64", "ema.decay=0.9"],
        *["validation_every=2", "state.keep_best=1"],
    ],
}  # fmt: skip
SUFFIXES = {"generate": ".jsonl", "embed": ".npy", "classify": ".parquet"}
QUICK = ("tokenizer",)


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CASES])
def test_twenty_kills_leave_nothing_half_written_and_the_same_command_ends_as_if_unbroken(place, tmp_path, name):
    words = [word.format(**place) for word in CASES[name]]
    task = json.dumps([words, str(tmp_path / f"made{SUFFIXES.get(name, '')}"), 7, 20])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(KILLING), task]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["kills"] == 20
    assert told["ends"] >= 1
    assert told["files"] >= 1


SIGNALLED = """
import os, signal, sys
from nemo_core.cli import main
from nemo_core.data.tokenize import Tokenizing
number, real = int(sys.argv.pop(1)), Tokenizing._write_note
def write_note(self):
    real(self)
    signal.raise_signal(number)
Tokenizing._write_note = write_note
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("number", "code", "name"), [(signal.SIGTERM, 75, "stopped by SIGTERM"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_command_that_is_told_to_stop_says_one_line_and_goes_on_when_given_again(
    documents, tokenizer_folder, tokens, tmp_path, number, code, name
):
    words = ["tokenize", f"documents={documents}", f"tokenizer={tokenizer_folder}", "validation_share=0.1"]
    words += ["workers=1", "batch_bytes=2000", f"output={tmp_path / 'made'}"]
    command = [sys.executable, "-c", SIGNALLED, str(int(number)), *words]
    stopped = subprocess.run(command, capture_output=True, text=True, check=False)
    assert stopped.returncode == code, stopped.stderr
    said = [line for line in stopped.stderr.splitlines() if not line.startswith("tokenize:")]
    assert said == [f"nemo-core: {name}; the same command continues where it stopped"]
    assert main(words) == 0
    assert (tmp_path / "made/train.bin").read_bytes() == (tokens / "train.bin").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
