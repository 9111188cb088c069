"""Fine-tuning learns answers, whole or through adapters; evaluation measures the model it is given."""

import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
import sys

import peft
import pytest
import torch
import transformers

from nemo_core.checkpoint.folder import copy_tokenizer, load_model
from nemo_core.cli import main
from nemo_core.data.packing import PackedData
from nemo_core.data.rows import Conversation
from nemo_core.foundation import settings as settings_module
from nemo_core.foundation.errors import Preempted
from nemo_core.peft.folder import load_adapter
from nemo_core.peft.merge import merge_adapters
from nemo_core.train.loop import train
from nemo_core.train.samples import choose_questions
from nemo_core.train.session import make_plan
from nemo_core.train.settings import SftSettings
from nemo_core.train.sft import assemble, split_rows

from .interrupting import Interrupting


def manifest(folder) -> dict:
    return json.loads((folder / "manifest.json").read_text())


@pytest.fixture(scope="module")
def words(pretrained, questions):
    return [
        f"model={pretrained}",
        f"conversations={questions}",
        "steps=10",
        "batch_size=4",
        "sequence_length=64",
        "learning_rate=0.01",
        "threads=1",
        "tensorboard=false",
        "log_every=1",
        "samples=2",
        "sample_tokens=8",
        "lora.rank=4",
    ]


@pytest.fixture(scope="module", params=["full", "lora"])
def tuned(request, words, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "chat"
    assert main(["sft", *words, f"method={request.param}", f"output={folder}"]) == 0
    return folder


def test_held_out_answers_are_learnt(tuned):
    stats = manifest(tuned)["stats"]
    assert stats["after"]["validation_loss"] < stats["before"]["validation_loss"] - 0.2
    assert stats["conversations"] == 29
    assert stats["held_out_conversations"] == 4
    assert [set(sample) for sample in stats["samples"]] == [{"prompt", "before", "after", "reference"}] * 2
    assert stats["samples"][0]["prompt"].startswith("What is ")
    log = [json.loads(line) for line in (tuned / "logs/samples.jsonl").read_text().splitlines()]
    assert log == stats["samples"]


def test_an_adapter_is_merged_and_kept_and_both_say_the_same(words, tmp_path, pretrained):
    assert main(["sft", *words, "method=lora", f"output={tmp_path / 'chat'}"]) == 0
    merged, rebuilt = load_model(tmp_path / "chat"), load_adapter(load_model(pretrained), tmp_path / "chat/adapter")
    for name, weight in merge_adapters(rebuilt).named_parameters():
        torch.testing.assert_close(weight, merged.get_parameter(name))
    stats = manifest(tmp_path / "chat")["stats"]
    assert stats["trained_parameters"] < stats["parameters"] / 2
    embedding = "model.embed_tokens.weight"
    assert torch.equal(merged.get_parameter(embedding), load_model(pretrained).get_parameter(embedding))


@pytest.mark.parametrize("method", ["lora", "dora", "ia3"])
def test_a_family_whose_folder_fuses_modules_is_tuned_with_the_default_targets(method, words, tmp_path, pretrained):
    """The adapter alone, put on the base by the peft library, says what the merged model says."""
    shape = {
        "vocab_size": 320,
        "n_embd": 32,
        "n_layer": 1,
        "n_head": 2,
        "n_positions": 64,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape)).save_pretrained(tmp_path / "gpt2")
    copy_tokenizer(pretrained, tmp_path / "gpt2")
    chosen = [f"model={tmp_path / 'gpt2'}", f"method={method}", "steps=3", f"output={tmp_path / 'chat'}"]
    assert main(["sft", *words, *chosen]) == 0
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "gpt2", dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "chat/adapter").eval()
    assert any(name.endswith("attn.c_attn") for name in theirs.peft_config["default"].target_modules)
    ids, ours = torch.arange(3, 40)[None], load_model(tmp_path / "chat")
    with torch.no_grad():
        assert (ours.logits(ours(ids)) - theirs(input_ids=ids).logits).abs().max() <= 5e-5


@pytest.mark.parametrize("method", ["dora", "ia3", "prompt", "ptuning", "adapter", "parallel_adapter"])
def test_every_method_learns_answers_and_its_folder_serves_every_command(
    method, words, tmp_path, pretrained, questions, capsys
):
    chosen = ["prompt.num_tokens=4", "ptuning.num_tokens=4", "adapter.size=8", "learning_rate=0", f"method={method}"]
    assert main(["sft", *words, *chosen, f"output={tmp_path / 'out'}"]) == 0
    stats = manifest(tmp_path / "out")["stats"]
    assert stats["after"]["validation_loss"] < stats["before"]["validation_loss"] - 0.02
    is_model = method in ("dora", "ia3")
    assert manifest(tmp_path / "out")["kind"] == ("checkpoint" if is_model else "adapter")
    adapter = tmp_path / "out" / "adapter" if is_model else tmp_path / "out"
    capsys.readouterr()
    assert main(["generate", f"model={pretrained}", f"adapter={adapter}", "chat=What is enum?", "max_tokens=8"]) == 0
    if is_model:
        answer = capsys.readouterr().out
        assert main(["generate", f"model={tmp_path / 'out'}", "chat=What is enum?", "max_tokens=8"]) == 0
        assert capsys.readouterr().out == answer
    evaluation = [f"model={pretrained}", f"adapter={adapter}", f"conversations={questions}", "sequence_length=64"]
    assert main(["evaluate", *evaluation, "threads=1", f"output={tmp_path / 'e'}", "samples=1", "sample_tokens=4"]) == 0
    metrics = json.loads((tmp_path / "e/results.json").read_text())["models"]["model"]["metrics"]
    assert metrics["answer_loss"]["value"] == pytest.approx(stats["after"]["validation_loss"], rel=1e-3)


@pytest.mark.parametrize("method", ["full", "lora", "dora", "ptuning", "adapter"])
def test_fine_tuning_continues_bit_for_bit(words, tmp_path, method):
    settings = settings_module.load(SftSettings, None, [*words, f"output={tmp_path / 'x'}", f"method={method}"])
    plan = make_plan(settings, label="test", steps=10)
    whole = assemble(settings).parts
    train(whole, plan, tmp_path / "whole")
    parts = assemble(settings).parts
    with pytest.raises(Preempted):
        train(dataclasses.replace(parts, data=Interrupting(parts.data, 4)), plan, tmp_path / "broken")
    resumed = assemble(settings).parts
    train(resumed, plan, tmp_path / "broken")
    for name, weight in whole.model.named_parameters():
        assert torch.equal(weight, resumed.model.get_parameter(name)), name


@pytest.mark.parametrize("setting", ["method=lora lora.dropout=0.5", "method=adapter adapter.dropout=0.5"])
def test_dropout_follows_from_the_seed(words, tmp_path, setting):
    weights = []
    for number, seed in enumerate((3, 3, 4)):
        torch.manual_seed(number)
        chosen = [*words, *setting.split(), f"seed={seed}", "merge=false", "steps=2", "samples=0"]
        assert main(["sft", *chosen, f"output={tmp_path / str(number)}"]) == 0
        weights.append((tmp_path / str(number) / "adapter_model.safetensors").read_bytes())
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_conversations_that_changed_under_a_run_are_named(words, tmp_path, questions, capsys, monkeypatch):
    """Their sizes and times stay as they were, so that nothing but what they say tells; the run had been stopped."""
    shutil.copytree(questions, tmp_path / "questions")
    chosen = [*words, f"conversations={tmp_path / 'questions'}", f"output={tmp_path / 'chat'}"]
    batch = PackedData.batch
    asking = functools.partial(signal.raise_signal, signal.SIGTERM)
    monkeypatch.setattr(PackedData, "batch", lambda self, step: (step == 4 and asking(), batch(self, step))[1])
    assert main(["sft", *chosen]) == 75
    monkeypatch.setattr(PackedData, "batch", batch)
    path = tmp_path / "questions" / "train.jsonl"
    text, times = path.read_text(), path.stat()
    path.write_text(text.replace("What", "Whet", 1))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    capsys.readouterr()
    assert main(["sft", *chosen]) == 2
    assert "train.jsonl: changed since the run in" in capsys.readouterr().err
    assert (tmp_path / "chat.partial/state").is_dir(), "the state is kept"
    path.write_text(text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert main(["sft", *chosen]) == 0


def test_conversations_without_a_validation_split_give_up_a_share(words, tmp_path, questions):
    whole = (questions / "train.jsonl").read_text() + (questions / "validation.jsonl").read_text()
    (tmp_path / "all.jsonl").write_text(whole)
    chosen = [f"conversations={tmp_path / 'all.jsonl'}", "validation_share=0.2", "steps=1", "samples=0"]
    assert main(["sft", *words, *chosen, f"output={tmp_path / 'chat'}"]) == 0
    stats = manifest(tmp_path / "chat")["stats"]
    assert stats["conversations"] + stats["held_out_conversations"] == 33
    assert stats["held_out_conversations"] >= 1


def test_a_row_keeps_its_side_of_the_split_when_others_come_or_go():
    rows = [Conversation(f"id-{n}", [], f"f:{n}") for n in range(200)]
    train_rows, held = split_rows(rows, share=0.1, seed=0)
    assert 5 <= len(held) <= 40
    half_train, half_held = split_rows(rows[::2], share=0.1, seed=0)
    assert {r.id for r in half_held} <= {r.id for r in held}
    assert {r.id for r in half_train} <= {r.id for r in train_rows}
    assert split_rows(rows, share=0.0, seed=0) == (rows, [])
    assert len(split_rows(rows[:2], share=0.0001, seed=0)[1]) == 1


def test_questions_are_spread_over_the_conversations(questions):
    def asked(n):
        return Conversation(str(n), [{"role": "user", "content": str(n)}, {"role": "assistant", "content": "a"}], "f:1")

    assert [q.text for q in choose_questions([asked(n) for n in range(10)], count=3)] == ["0", "3", "6"]
    assert [q.text for q in choose_questions([asked(n) for n in range(2)], count=3)] == ["0", "1"]


def test_steps_follow_from_epochs(words, tmp_path):
    chosen = ["steps=0", "epochs=2", "sequence_length=128", f"output={tmp_path / 'chat'}"]
    settings = settings_module.load(SftSettings, None, [*words, *chosen])
    tuning = assemble(settings)
    assert tuning.steps == -(-2 * len(tuning.parts.data.rows) // 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["sequence_length=4096"], "sequence_length=4096 is longer than the 1024 positions"),
        (["sequence_length=4"], "no answer within the first 4 tokens, nor in any other conversation"),
        (["model=absent"], "absent: no such folder"),
        (["conversations=absent"], "absent: no such file or folder"),
        (["method=lora", "lora.targets=[z_proj]"], "target 'z_proj' matches no linear layer"),
        (["method=lorra"], "invalid enum value 'lorra'"),
    ],
)
def test_what_does_not_fit_is_named(words, tmp_path, capsys, change, message):
    assert main(["sft", *words, f"output={tmp_path / 'chat'}", *change]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "chat").exists()


def test_a_tokenizer_larger_than_the_model_is_named(words, tmp_path, capsys, documents, pretrained):
    assert main(["tokenizer", f"documents={documents}", "vocab_size=350", f"output={tmp_path / 'other'}"]) == 0
    shutil.copytree(pretrained, tmp_path / "model", ignore=shutil.ignore_patterns("manifest.json", "state"))
    shutil.copy(tmp_path / "other/tokenizer.json", tmp_path / "model/tokenizer.json")
    assert main(["sft", *words, f"model={tmp_path / 'model'}", f"output={tmp_path / 'chat'}"]) == 2
    assert "its tokenizer has 350 tokens, its model only 320" in capsys.readouterr().err


def test_evaluation_gives_figures_and_answers(tuned, tokens, questions, tmp_path):
    words = [f"model={tuned}", f"tokens={tokens}", f"conversations={questions}", f"output={tmp_path / 'e'}"]
    assert main(["evaluate", *words, "sequence_length=64", "samples=2", "sample_tokens=8", "threads=1"]) == 0
    (result,) = json.loads((tmp_path / "e/results.json").read_text())["models"].values()
    after = manifest(tuned)["stats"]["after"]
    assert result["metrics"]["answer_loss"]["value"] == pytest.approx(after["validation_loss"], rel=1e-4)
    assert result["metrics"]["answer_accuracy"]["value"] == pytest.approx(after["validation_accuracy"])
    assert result["metrics"]["answer_loss"]["better"] == "lower"
    assert result["metrics"]["validation_loss"]["count"] > 100
    assert [set(sample) for sample in result["samples"]] == [{"prompt", "answer", "reference"}] * 2


def test_perplexity_is_that_of_the_pretraining_run(pretrained, tokens, tmp_path):
    words = [f"model={pretrained}", f"tokens={tokens}", f"output={tmp_path / 'e'}", "sequence_length=32"]
    assert main(["evaluate", *words, "batch_size=3", "max_tokens=1024", "threads=1"]) == 0
    metrics = json.loads((tmp_path / "e/results.json").read_text())["models"]["model"]["metrics"]
    after = manifest(pretrained)["stats"]["after"]
    assert metrics["validation_loss"]["count"] <= 1024
    assert metrics["validation_loss"]["value"] == pytest.approx(after["validation_loss"], rel=1e-3)
    assert metrics["perplexity"]["value"] == pytest.approx(after["validation_perplexity"], rel=1e-2)


def test_evaluating_on_nothing_is_named(pretrained, tmp_path, capsys):
    assert main(["evaluate", f"model={pretrained}", f"output={tmp_path / 'e'}"]) == 2
    assert (
        "nothing to evaluate on: give tokens=..., conversations=..., tasks=[...] or several" in capsys.readouterr().err
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", ["pretrain", "sft", "evaluate", "tokenizer", "tokenize"])
def test_help_loads_no_heavy_library(command):
    program = (
        "import sys; from nemo_core.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'numpy', 'tokenizers', 'pyarrow', 'transformers'} & set(sys.modules);"
        "sys.exit(code or (f'loaded {heavy}' if heavy else 0))"
    )
    done = subprocess.run([sys.executable, "-c", program, command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "settings:" in done.stdout
