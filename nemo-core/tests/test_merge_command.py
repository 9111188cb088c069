"""Model folders with an adapter merged, and without it again, byte for byte."""

import json

import pytest
import torch

from nemo_core.checkpoint.folder import load_model, save_model
from nemo_core.checkpoint.tensors import iterate_tensors
from nemo_core.cli import main
from nemo_core.peft.adapter import add_adapter
from nemo_core.peft.folder import save_adapter
from nemo_core.peft.settings import Ia3Settings, LoraSettings, PromptSettings

METHODS = {"lora": LoraSettings(rank=2, modules_to_save=("model.norm",)), "dora": LoraSettings(), "ia3": Ia3Settings()}


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def base(request, pretrained, tokenizer_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "base"
    save_model(load_model(pretrained, dtype=getattr(torch, request.param)), folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tokenizer_folder / name).read_bytes())
    return folder


@pytest.fixture(params=METHODS)
def adapter(request, base, tmp_path):
    model = add_adapter(load_model(base), request.param, METHODS[request.param], seed=1)
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.empty_like(weight).normal_(0.0, 0.3, generator=draw))
    save_adapter(model, tmp_path / "adapter", base=str(base))
    return tmp_path / "adapter"


def test_what_is_merged_can_be_taken_out_byte_for_byte(base, adapter, tmp_path):
    words = [f"model={base}", f"adapter={adapter}", f"output={tmp_path / 'merged'}", "keep_original=true"]
    assert main(["merge", *words]) == 0
    before, merged = dict(iterate_tensors(base)), dict(iterate_tensors(tmp_path / "merged"))
    assert {tensor.dtype for tensor in merged.values()} == {tensor.dtype for tensor in before.values()}
    assert any(not torch.equal(before[name], merged[name]) for name in before)
    assert main(["unmerge", f"model={tmp_path / 'merged'}", f"output={tmp_path / 'back'}"]) == 0
    assert (tmp_path / "back/model.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()


def test_without_the_kept_weights_it_says_where_they_are(base, adapter, tmp_path, capsys):
    assert main(["merge", f"model={base}", f"adapter={adapter}", f"output={tmp_path / 'merged'}"]) == 0
    assert main(["unmerge", f"model={tmp_path / 'merged'}", f"output={tmp_path / 'back'}"]) == 2
    assert "merge again with keep_original=true" in capsys.readouterr().err
    assert json.loads((tmp_path / "merged/manifest.json").read_text())["inputs"]["model"]["path"] == str(base)


def test_a_prompt_cannot_be_merged(pretrained, tmp_path, capsys):
    model = add_adapter(load_model(pretrained), "prompt", PromptSettings(num_tokens=3))
    save_adapter(model, tmp_path / "adapter", base=str(pretrained))
    assert main(["merge", f"model={pretrained}", f"adapter={tmp_path}/adapter", f"output={tmp_path / 'merged'}"]) == 2
    assert "method prompt is no change of weights and cannot be merged" in capsys.readouterr().err
    assert not (tmp_path / "merged").exists()


def test_a_model_given_as_an_adapter_says_where_its_adapter_is(base, adapter, tmp_path, capsys):
    (tmp_path / "chat").mkdir()
    adapter.rename(tmp_path / "chat/adapter")
    words = [f"model={base}", f"adapter={tmp_path / 'chat'}"]
    assert main(["merge", *words, f"output={tmp_path / 'merged'}"]) == 2
    assert f"; the adapter of this model is {tmp_path / 'chat/adapter'}" in capsys.readouterr().err
