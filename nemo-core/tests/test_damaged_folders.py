"""Damaged models, tokenizers, adapters and impossible outputs: every command names the place, and leaves nothing."""

import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from nemo_core.cli import main

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
GATE = "model.layers.0.mlp.gate_proj.weight"


@pytest.fixture
def model(pretrained, tmp_path):
    """A plain Hugging Face folder to damage."""
    folder = tmp_path / "model"
    shutil.copytree(pretrained, folder, ignore=shutil.ignore_patterns("manifest.json", "state"))
    return folder


@pytest.fixture(scope="module")
def adapter(pretrained, questions, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora") / "adapter"
    words = [f"model={pretrained}", f"conversations={questions}", "method=lora", "merge=false", "steps=1", "samples=0"]
    assert main(["sft", *words, "sequence_length=64", "threads=1", "tensorboard=false", f"output={folder}"]) == 0
    return folder


def test_an_adapter_in_place_of_a_model_is_told_from_one(model, adapter, tmp_path, capsys):
    assert "adapter: an adapter, no whole model; give the model it is for, and adapter=" in said(
        capsys, "generate", f"model={adapter}", "prompt=x"
    )
    message = said(capsys, "tokenize", f"documents={tmp_path}", f"tokenizer={model / 'tokenizer.json'}", "output=no")
    assert f"tokenizer.json: a file; give the folder of the tokenizer, {model}" in message
    assert main(["inspect", str(adapter)]) == 0


def said(capsys, *words):
    """What a command that ends with code 2 says."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    message = capsys.readouterr().err
    assert code == 2, message
    assert "Traceback" not in message
    return message


def with_gate(made_of):
    def change(folder):
        kept = load_file(folder / WEIGHTS)
        save_file({**kept, GATE: made_of(kept[GATE])}, folder / WEIGHTS)

    return change


def with_number(number):
    return with_gate(lambda weight: torch.where(torch.arange(weight.numel()).view_as(weight) == 3, number, weight))


def written(name, content):
    return lambda folder: (folder / name).write_text(content)


def setting(**values):
    def change(folder):
        known = json.loads((folder / "config.json").read_text())
        written("config.json", json.dumps({**known, **values}))(folder)

    return change


def indexed(content):
    def change(folder):
        (folder / WEIGHTS).rename(folder / "part.safetensors")
        (folder / INDEX).write_text(content)

    return change


MODELS = {
    "nan": (with_number(math.nan), f"tensor '{GATE}' holds 1 NaN and 0 infinite numbers"),
    "infinite": (with_number(math.inf), f"tensor '{GATE}' holds 0 NaN and 1 infinite numbers"),
    "whole numbers": (with_gate(lambda weight: weight.long()), f"tensor '{GATE}' is int64"),
    "index list": (indexed("[]"), "model.safetensors.index.json: not a valid index"),
    "index numbers": (indexed('{"weight_map": {"a": 3}}'), "names 3, which is no file of this folder"),
    "index outside": (indexed('{"weight_map": {"a": "../x.safetensors"}}'), "which is no file of this folder"),
    "index of nothing": (indexed('{"weight_map": {}}'), "names no files"),
    "a billion layers": (setting(num_hidden_layers=10**9), "Expected `int` <= 10000"),
    "flag": (setting(tie_word_embeddings="maybe"), "tie_word_embeddings='maybe' must be true or false"),
}
TOKENIZERS = {
    "settings list": (written("tokenizer_config.json", "[1]"), "tokenizer_config.json: a JSON object is expected"),
    "special number": (written("tokenizer_config.json", '{"eos_token": 5}'), "eos_token must be a text"),
    "ends": (written("generation_config.json", '{"eos_token_id": "x"}'), "must be token ids; it holds 'x'"),
    "endless": (written("chat_template.jinja", "{{ range(10**9) }}"), "refuses this chat: Range too big"),
    "no template": (lambda folder: (folder / "chat_template.jinja").unlink(), "model: no chat template"),
}


@pytest.mark.parametrize("fault", MODELS)
def test_commands_that_compute_name_what_is_damaged(fault, model, tokens, questions, tmp_path, capsys):
    damage, message = MODELS[fault]
    damage(model)
    training = ["steps=1", "batch_size=2", "sequence_length=64", "threads=1", f"output={tmp_path / 'out'}"]
    for words in (
        ["generate", f"model={model}", "prompt=The"],
        ["sft", f"model={model}", f"conversations={questions}", *training],
        ["pretrain", f"continue_from={model}", f"tokens={tokens}", *training],
        ["distill", f"teacher={model}", f"tokens={tokens}", *training],
    ):
        assert message in said(capsys, *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


@pytest.mark.parametrize("fault", TOKENIZERS)
def test_what_is_wrong_with_a_tokenizer_is_named(fault, model, capsys):
    damage, message = TOKENIZERS[fault]
    damage(model)
    assert message in said(capsys, "generate", f"model={model}", "chat=What is json?")


@pytest.mark.parametrize("content", ["", "{}", "null"])
def test_a_broken_tokenizer_is_not_handed_on(content, model, adapter, tmp_path, capsys):
    written("tokenizer.json", content)(model)
    for words in (["convert"], ["merge", f"adapter={adapter}"]):
        message = said(capsys, *words, f"model={model}", f"output={tmp_path / 'out'}")
        assert "tokenizer.json: not a tokenizer" in message
    assert not (tmp_path / "out").exists()


def test_a_model_without_tokenizer_cannot_go_on_learning(model, tokens, tmp_path, capsys):
    (model / "tokenizer.json").unlink()
    words = [f"continue_from={model}", f"tokens={tokens}", f"output={tmp_path / 'out'}"]
    assert "model: no tokenizer.json" in said(capsys, "pretrain", *words)


def test_a_teacher_and_a_model_to_prune_made_the_tokens(model, tokens, tmp_path, capsys):
    known = json.loads((model / "tokenizer.json").read_text())
    written("tokenizer.json", json.dumps({**known, "truncation": None, "model": {**known["model"], "merges": []}}))(
        model
    )
    words = [f"tokens={tokens}", f"output={tmp_path / 'out'}"]
    for command in (["distill", f"teacher={model}"], ["prune", f"model={model}", "ffn_size=32"]):
        assert f"not the tokenizer of {model}; tokenize with" in said(capsys, *command, *words)


def test_numbers_that_a_type_cannot_hold_are_not_written(model, tmp_path, capsys):
    with_gate(lambda weight: weight + 1e6)(model)
    words = [f"model={model}", "dtype=float16", f"output={tmp_path / 'out'}"]
    assert "as float16 holds 0 NaN and" in said(capsys, "convert", *words)


ADAPTERS = {
    "other rank": ({"r": 4}, "says rank 4 of model.layers.0.mlp.down_proj, whose tensors have rank 16"),
    "rank text": ({"r": "8"}, "r (or rank_pattern) of model.layers.0.mlp.down_proj must be a number above 0"),
    "no alpha": ({"lora_alpha": None}, "lora_alpha (or alpha_pattern) of model.layers.0.mlp.down_proj must be a"),
}


@pytest.mark.parametrize("fault", ADAPTERS)
def test_an_adapter_that_contradicts_its_config_is_named(fault, adapter, pretrained, tmp_path, capsys):
    values, message = ADAPTERS[fault]
    damaged = shutil.copytree(adapter, tmp_path / "adapter", ignore=shutil.ignore_patterns("manifest.json"))
    config = damaged / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **values}))
    words = [f"model={pretrained}", f"adapter={damaged}"]
    assert message in said(capsys, "merge", *words, f"output={tmp_path / 'out'}")
    assert message in said(capsys, "generate", *words, "prompt=The")


def test_an_adapter_of_no_numbers_or_no_files_is_named(adapter, pretrained, tmp_path, capsys):
    damaged = shutil.copytree(adapter, tmp_path / "adapter", ignore=shutil.ignore_patterns("manifest.json"))
    path = damaged / "adapter_model.safetensors"
    save_file({name: tensor * math.nan for name, tensor in load_file(path).items()}, path)
    words = ["generate", f"model={pretrained}", f"adapter={damaged}", "prompt=The"]
    assert "NaN and 0 infinite numbers" in said(capsys, *words)
    path.unlink()
    (damaged / "adapter_model.bin").touch()
    assert "no adapter_model.safetensors, so this is no adapter folder; adapter_model.bin is a pickle" in said(
        capsys, *words
    )


def test_a_place_where_nothing_can_be_written_is_named(pretrained, questions, tmp_path, capsys):
    (tmp_path / "file").touch()
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "The"}\n')
    (tmp_path / "texts.jsonl").write_text('{"text": "The"}\n')
    for words in (
        ["sft", f"conversations={questions}", f"output={tmp_path}/file/a/out"],
        ["generate", f"prompts={tmp_path}/prompts.jsonl", f"output={tmp_path}/file/out.jsonl"],
        ["embed", f"texts={tmp_path}/texts.jsonl", f"output={tmp_path}/file/out.npy"],
    ):
        assert "nothing can be written there" in said(capsys, *words, f"model={pretrained}")


def test_sizes_that_no_machine_holds_are_refused_at_once(tokens, tmp_path, capsys):
    words = ["pretrain", f"tokens={tokens}", f"output={tmp_path / 'out'}"]
    assert "GiB for its weights alone, this machine has" in said(capsys, *words, "model.hidden_size=10000000000")
    assert "model.num_layers: expected `int` <= 10000" in said(capsys, *words, "model.num_layers=1000000000")


def test_answers_that_leave_no_room_for_a_question_are_refused(pretrained, questions, tmp_path, capsys):
    words = [f"model={pretrained}", f"conversations={questions}", f"output={tmp_path / 'out'}", "sample_tokens=5000"]
    assert "answers of 5000 tokens leave no room for a question" in said(capsys, "sft", *words)


@pytest.mark.parametrize(
    ("row", "setting", "message"),
    [
        ({"choices": ["", "b"], "answer": 1}, "shots=0", "`choices` is a list of texts, none of them empty"),
        ({"choices": ["a", "b"], "answer": 1}, "shots=1", "shots=1 shows all of its 1 questions solved"),
    ],
)
def test_tasks_that_measure_nothing_are_refused(row, setting, message, pretrained, tmp_path, capsys):
    (tmp_path / "task.jsonl").write_text(json.dumps({"question": "x", **row}) + "\n")
    words = [f"model={pretrained}", f"tasks=[{tmp_path / 'task.jsonl'}]", f"output={tmp_path / 'out'}", setting]
    assert message in said(capsys, "evaluate", *words)


def test_finished_folders_are_inspected_as_what_they_are(pretrained, adapter, capsys):
    shown = {}
    for folder in (pretrained, adapter):
        assert (folder / "state").is_dir()
        capsys.readouterr()
        assert main(["inspect", str(folder)]) == 0
        shown[folder] = json.loads(capsys.readouterr().out)
    assert shown[pretrained]["architecture"] == "LlamaForCausalLM"
    assert (shown[adapter]["kind"], shown[adapter]["method"]) == ("adapter", "LORA")
