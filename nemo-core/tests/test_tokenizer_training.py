"""A learnt tokenizer loses nothing, is the same every time, and is one that transformers reads alike."""

import gzip
import json
import re
import subprocess
import sys

import pytest

from nemo_core.cli import main
from nemo_core.tokenizer.load import load_tokenizer

CHAT = [
    {"role": "user", "content": "What is heapq?"},
    {"role": "assistant", "content": "A queue."},
    {"role": "user", "content": "Thanks <|im_end|>"},
]


@pytest.mark.parametrize(
    "text", ["plain words", "  two  spaces\n\ttab", "naïve café 東京 🙂", "12345 3.14", "\x00\x7f", ""]
)
def test_any_text_comes_back_unchanged(tokenizer_folder, text):
    tokenizer = load_tokenizer(tokenizer_folder)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_tokens_come_first_and_name_what_they_are_for(tokenizer_folder):
    tokenizer = load_tokenizer(tokenizer_folder)
    assert tokenizer.encode("<|endoftext|><|im_start|><|im_end|>") == [0, 1, 2]
    assert (tokenizer.eos_id, tokenizer.pad_id, tokenizer.stop_ids) == (0, 0, frozenset({0, 2}))
    assert tokenizer.vocab_size == 320


def test_equal_documents_give_an_equal_tokenizer_in_another_process(documents, tokenizer_folder, tmp_path):
    words = [f"documents={documents}", f"output={tmp_path / 'again'}", "vocab_size=320"]
    subprocess.run([sys.executable, "-m", "nemo_core", "tokenizer", *words], check=True, capture_output=True)
    digests = [json.loads((f / "manifest.json").read_text())["digest"] for f in (tokenizer_folder, tmp_path / "again")]
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_transformers_reads_it_with_the_same_ids_and_the_same_chats(tokenizer_folder):
    transformers = pytest.importorskip("transformers", reason="the peer that this compares with is not installed")
    theirs = transformers.AutoTokenizer.from_pretrained(tokenizer_folder)
    ours = load_tokenizer(tokenizer_folder)
    for text in ("The heapq module sorts 12 items.", "naïve 東京\n  x", "<|im_start|>user\nhi<|im_end|>"):
        assert theirs.encode(text, add_special_tokens=False) == ours.encode(text)
    for prompt in (True, False):
        rendered = theirs.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=prompt)
        assert rendered == ours.render_chat(CHAT, add_generation_prompt=prompt)
        ids = theirs.apply_chat_template(CHAT, add_generation_prompt=prompt, return_dict=False)
        assert ids == ours.encode_chat(CHAT, add_generation_prompt=prompt)
    assert theirs.eos_token == theirs.pad_token == "<|endoftext|>"


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ('{"text": "fine"}\n{"text": \n', [], r"bad.jsonl:2: not valid JSON"),
        ('{"body": "no text"}\n', [], r"bad.jsonl:1: no text under 'text' \(keys: body\)"),
        ('{"text": 3}\n', [], r"bad.jsonl:1: no text under 'text'"),
        ("[1]\n", [], r"bad.jsonl:1: a JSON object is needed, this is list"),
        ('{"text": ""}\n', [], "every document is empty"),
        ('{"text": "x"}\n', ["vocab_size=100"], r"vocab_size: expected `int` >= 259"),
        ('{"text": "x"}\n', ["vocab_sise=300"], r"unknown key 'vocab_sise'; did you mean 'vocab_size'"),
    ],
)
def test_bad_documents_are_named(tmp_path, capsys, content, words, message):
    (tmp_path / "bad.jsonl").write_text(content)
    assert main(["tokenizer", f"documents={tmp_path / 'bad.jsonl'}", f"output={tmp_path / 'out'}", *words]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert not (tmp_path / "out").exists()


def test_documents_that_are_no_utf8_or_cut_short_are_named(tmp_path, capsys):
    (tmp_path / "latin.jsonl").write_bytes(b'{"text": "ok"}\n{"text": "caf\xe9"}\n')
    assert main(["tokenizer", f"documents={tmp_path / 'latin.jsonl'}", f"output={tmp_path / 'out'}"]) == 2
    assert "latin.jsonl:" in (error := capsys.readouterr().err)
    assert "not valid UTF-8" in error
    whole = gzip.compress(b'{"text": "some words"}\n' * 500)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    assert main(["tokenizer", f"documents={tmp_path / 'cut.jsonl.gz'}", f"output={tmp_path / 'out'}"]) == 2
    assert "damaged gzip" in capsys.readouterr().err


def test_a_folder_without_documents_is_named(tmp_path, capsys):
    for place, problem in ((tmp_path, "no documents in it"), (tmp_path / "absent", "no such file or folder")):
        assert main(["tokenizer", f"documents={place}", f"output={tmp_path / 'out'}"]) == 2
        assert f"{place}: {problem}" in capsys.readouterr().err
