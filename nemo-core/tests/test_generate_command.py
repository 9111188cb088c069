"""``generate``, ``merge`` and ``inspect`` on a folder with a tokenizer of its own."""

import json
import signal
import subprocess
import sys

import pytest
import torch

from nemo_core.checkpoint.folder import load_model, save_model
from nemo_core.cli import main
from nemo_core.config import ModelConfig
from nemo_core.foundation.errors import InputError
from nemo_core.inference.answers import AnswerLog
from nemo_core.model.decoder import Decoder
from nemo_core.peft.folder import save_adapter
from nemo_core.peft.lora import add_lora, lora_layers

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def folder(tmp_path):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    torch.set_num_threads(1)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    shape = {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 2,
        "num_kv_heads": 1,
        "head_dim": 16,
        "ffn_size": 48,
        "max_positions": 256,
    }
    save_model(
        Decoder(ModelConfig(vocab_size=backend.get_vocab_size(), eos_id=256, pad_id=256, **shape), seed=0),
        tmp_path / "m",
    )
    backend.save(str(tmp_path / "m/tokenizer.json"))
    (tmp_path / "m/tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))
    (tmp_path / "m/chat_template.jinja").write_text(CHATML)
    return tmp_path / "m"


def test_prompt_chat_and_file_answer(folder, tmp_path, capsys):
    assert main(["generate", f"model={folder}", "prompt=abc", "max_tokens=4"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == 4
    assert main(["generate", f"model={folder}", "chat=What?", "max_tokens=4", "count=2", "temperature=1.0"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    lines = [{"prompt": "a"}, {"messages": [{"role": "user", "content": "b"}]}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert main(["generate", f"model={folder}", f"prompts={tmp_path}/p.jsonl", "max_tokens=2"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def rows_of(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"id": f"p{n}", "prompt": f"say {n} " * (n % 5 + 1)}) + "\n" for n in range(12)))
    return path


SAMPLED = ["max_tokens=9", "temperature=0.9", "count=2", "seed=3", "threads=1"]


def test_answers_to_a_file_keep_the_rows_and_their_order(folder, prompts, tmp_path, capsys):
    out = tmp_path / "out" / "answers.jsonl"
    words = ["generate", f"model={folder}", f"prompts={prompts}", *SAMPLED, "logprobs=1"]
    assert main([*words, f"output={out}"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "output": str(out),
        "answers": 24,
        "resumed": 0,
        "tokens": sum(row["tokens"] for row in rows_of(out)),
    }
    rows = rows_of(out)
    assert [row["id"] for row in rows] == [f"p{n // 2}" for n in range(24)]
    assert all(len(row["logprobs"]) == row["tokens"] <= 9 for row in rows)
    assert main([*words, f"output={tmp_path}/few", "max_slots=2", "cache_tokens=96"]) == 0
    few = rows_of(tmp_path / "few")
    assert [row["text"] for row in few] == [row["text"] for row in rows]
    assert main([*words, f"output={out}"]) == 2
    assert "answers.jsonl: exists already; name another output" in capsys.readouterr().err
    assert not list(out.parent.glob("*.partial"))


def test_a_killed_run_goes_on_and_writes_what_an_uninterrupted_one_writes(folder, prompts, tmp_path, capsys):
    words = ["generate", f"model={folder}", f"prompts={prompts}", *SAMPLED, "max_tokens=60", "max_slots=1"]
    assert main([*words, f"output={tmp_path}/whole"]) == 0
    out, log = tmp_path / "answers.jsonl", tmp_path / "answers.jsonl.partial"
    process = subprocess.Popen([sys.executable, "-m", "nemo_core", *words, f"output={out}"])
    while not log.exists() or log.read_bytes().count(b"\n") < 4:
        assert process.poll() is None, "ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    with open(log, "ab") as handle:
        handle.write(b'{"number": 11, "te')  # a line that was cut off
    capsys.readouterr()
    assert main([*words, "seed=4", f"output={out}"]) == 2
    assert "belongs to a run with other settings" in capsys.readouterr().err
    assert main([*words, f"output={out}"]) == 0
    assert json.loads(capsys.readouterr().out)["resumed"] >= 3
    assert out.read_bytes() == (tmp_path / "whole").read_bytes()


def test_two_runs_cannot_write_one_file(tmp_path):
    log = AnswerLog(tmp_path / "a.jsonl", identity="one")
    log.add(1, {"text": "b"})
    with pytest.raises(InputError, match="another process is writing it"):
        AnswerLog(tmp_path / "a.jsonl", identity="one")
    log.close()
    again = AnswerLog(tmp_path / "a.jsonl", identity="one")
    again.add(0, {"text": "a"})
    again.finish()
    assert rows_of(tmp_path / "a.jsonl") == [{"text": "a"}, {"text": "b"}]


def test_streamed_text_is_the_answer(folder, capsys):
    words = ["generate", f"model={folder}", "prompt=abc", "max_tokens=12", "stop=[zzz]", "logit_bias={65: 1.0}"]
    assert main(words) == 0
    text = json.loads(capsys.readouterr().out)["text"]
    assert main([*words, "stream=true"]) == 0
    assert capsys.readouterr().out == text + "\n"
    assert main([*words, "stream=true", "count=2"]) == 2
    assert "stream=true shows one answer" in capsys.readouterr().err


def test_int8_and_prompt_log_probs_can_be_asked_for(folder, capsys):
    words = ["generate", f"model={folder}", "prompt=abc", "max_tokens=3", "prompt_logprobs=true"]
    assert main(words) == 0
    exact = json.loads(capsys.readouterr().out)["prompt_logprobs"]
    assert main([*words, "quantize=int8"]) == 0
    assert json.loads(capsys.readouterr().out)["prompt_logprobs"] == pytest.approx(exact, abs=0.05)
    assert len(exact) == 2


def test_merge_adds_the_adapter_and_inspect_shows_it(folder, tmp_path, capsys):
    model = add_lora(load_model(folder), rank=2, alpha=4.0, seed=0)
    with torch.no_grad():
        for layer in lora_layers(model).values():
            layer.lora_B.fill_(0.1)
    save_adapter(model, tmp_path / "adapter", base=str(folder))
    assert main(["merge", f"model={folder}", f"adapter={tmp_path}/adapter", f"output={tmp_path}/merged"]) == 0
    ids = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(load_model(tmp_path / "merged")(ids), model(ids), rtol=1e-4, atol=1e-4)
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "merged")]) == 0
    assert json.loads(capsys.readouterr().out)["stats"]["objective"] == "merge"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prompt=a", "chat=b"], "exactly one of prompt, chat and prompts; got prompt and chat"),
        ([], "got none"),
        (["prompts=absent.jsonl"], "absent.jsonl: cannot be read"),
        (["prompt=a", "model=absent"], "absent: no such folder"),
    ],
)
def test_mistakes_are_explained(folder, capsys, words, message):
    assert main(["generate", f"model={folder}", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_bad_prompt_line_is_named(folder, tmp_path, capsys):
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n{"question": "b"}\n')
    assert main(["generate", f"model={folder}", f"prompts={tmp_path}/p.jsonl"]) == 2
    assert "p.jsonl:2: neither a `prompt` text nor a `messages` list" in capsys.readouterr().err


def test_answers_alone_are_marked_and_layout_after_them_is_not(folder):
    from nemo_core.tokenizer.load import load_tokenizer

    tokenizer = load_tokenizer(folder)
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
    ids, is_answer = tokenizer.encode_chat_with_mask(chat)
    assert tokenizer.decode([i for i, a in zip(ids, is_answer) if a], skip_special=False) == "yo<|im_end|>"
    assert ids[: is_answer.index(True)] == tokenizer.encode_chat(chat[:1], add_generation_prompt=True)
    assert ids == tokenizer.encode_chat(chat, add_generation_prompt=False)


def test_streamed_bytes_become_whole_characters(folder):
    from nemo_core.tokenizer.load import load_tokenizer

    tokenizer = load_tokenizer(folder)
    text = "naïve 日本 🙂 end"
    stream = tokenizer.stream_decoder()
    pieces = [stream.feed([i]) for i in tokenizer.encode(text)]
    assert "".join(pieces) + stream.flush() == text
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)
