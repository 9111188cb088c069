"""A tiny collection of documents and conversations, and what the commands make of it."""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from parallel_cases import Workers

from nemo_core.cli import main

THINGS = ["array", "bisect", "calendar", "decimal", "enum", "fractions", "glob", "heapq", "inspect", "json", "locale"]
VERBS = ["reads", "writes", "sorts", "counts", "joins", "splits", "finds", "keeps"]
TINY = ["model.num_layers=1", "model.hidden_size=32", "model.num_heads=2", "model.num_kv_heads=1", "model.head_dim=16"]


def command(name: str, *words: str) -> None:
    """Run a command of the package in this process; it must succeed."""
    code = main([name, *words])
    assert code == 0, f"nemo-core {name} {' '.join(words)} ended with {code}"


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def documents(tmp_path_factory) -> Path:
    """Sixty short documents in JSONL."""
    draw = random.Random(0)
    path = tmp_path_factory.mktemp("documents") / "documents.jsonl"
    with open(path, "w", encoding="utf-8") as handle:
        for number in range(60):
            sentences = [
                f"The {draw.choice(THINGS)} module {draw.choice(VERBS)} {draw.randint(0, 99)} items." for _ in range(12)
            ]
            handle.write(json.dumps({"id": f"doc-{number}", "text": " ".join(sentences)}) + "\n")
    return path


@pytest.fixture(scope="session")
def tokenizer_folder(documents, tmp_path_factory) -> Path:
    """A tokenizer of 320 tokens."""
    folder = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    command("tokenizer", f"documents={documents}", f"output={folder}", "vocab_size=320")
    return folder


@pytest.fixture(scope="session")
def tokens(documents, tokenizer_folder, tmp_path_factory) -> Path:
    """The documents as tokens, a tenth of them held out."""
    folder = tmp_path_factory.mktemp("tokens") / "tokens"
    command(
        "tokenize",
        f"documents={documents}",
        f"tokenizer={tokenizer_folder}",
        f"output={folder}",
        "validation_share=0.1",
    )
    return folder


@pytest.fixture(scope="session")
def tiny_words(tokens) -> list[str]:
    """Settings of a pretraining run that takes a second."""
    return [
        f"tokens={tokens}",
        *TINY,
        "model.ffn_size=64",
        "steps=12",
        "batch_size=4",
        "sequence_length=32",
        "learning_rate=0.01",
        "threads=1",
        "tensorboard=false",
        "log_every=1",
        "device=cpu",
    ]


@pytest.fixture(scope="session")
def pretrained(tiny_words, tmp_path_factory) -> Path:
    """The checkpoint of that run, uninterrupted."""
    folder = tmp_path_factory.mktemp("pretrained") / "model"
    command("pretrain", *tiny_words, f"output={folder}")
    return folder


@pytest.fixture(scope="session")
def questions(tmp_path_factory) -> Path:
    """Questions and answers in the form of the suite, in a folder with both splits."""
    folder = tmp_path_factory.mktemp("questions")
    rows = [
        {
            "id": f"q-{thing}-{verb}",
            "subject": thing,
            "messages": [
                {"role": "user", "content": f"What is {thing}?"},
                {"role": "assistant", "content": f"The {thing} module {verb} items."},
            ],
        }
        for thing in THINGS
        for verb in VERBS[:3]
    ]
    for split, part in (("train", rows[4:]), ("validation", rows[:4])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    return folder


def workers(count: int) -> Iterator[Workers]:
    """Processes over gloo that wait for what a test asks of them."""
    asked = Workers(count)
    yield asked
    asked.close()


@pytest.fixture(scope="module")
def two() -> Iterator[Workers]:
    """Two such processes."""
    yield from workers(2)


@pytest.fixture(scope="module")
def four() -> Iterator[Workers]:
    """Four such processes."""
    yield from workers(4)
