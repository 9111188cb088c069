"""Export: the folder that comes out loads elsewhere and says the same."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from nemo_core.checkpoint.folder import load_model
from nemo_core.foundation import artifact
from nemo_core.foundation.errors import ArtifactError
from nemo_core.peft.folder import save_adapter
from nemo_core.peft.lora import add_lora, lora_layers
from nemo_deploy.cli import main
from nemo_deploy.export.verify import verify


@pytest.fixture
def checkpoint(tiny_model, tmp_path):
    """The tiny model with what training leaves beside it."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_model, folder)
    (folder / "state").mkdir()
    (folder / "state" / "optimizer.safetensors").write_bytes(b"x")
    (folder / "metrics.jsonl").write_text("{}\n")
    return folder


@pytest.fixture
def adapter(tiny_model, tmp_path):
    model = add_lora(load_model(tiny_model), rank=2, alpha=4, seed=1)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.3, generator=torch.Generator().manual_seed(2))
    save_adapter(model, tmp_path / "adapter", base=str(tiny_model))
    return tmp_path / "adapter"


def export(*words):
    return main(["export", *words])


def transformers_logits(folder, ids, adapter=None):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    with torch.no_grad():
        return model(ids).logits


IDS = torch.arange(3, 40)[None]


def test_exported_folder_holds_what_others_need_and_nothing_else(checkpoint, tmp_path, capsys):
    assert export(f"model={checkpoint}", f"output={tmp_path / 'out'}") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["max_abs_difference"] == 0.0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "generation_config.json",
        "verification.json",
        "manifest.json",
    }
    verification = json.loads((tmp_path / "out" / "verification.json").read_text())
    assert verification["left_out"] == ["metrics.jsonl", "state"]
    assert verification["tokenizer_exact_round_trips"] == verification["tokenizer_texts"]
    assert artifact.read(tmp_path / "out", "exported").stats["parameters"] == result["parameters"]


def test_transformers_loads_it_as_it_is(checkpoint, tmp_path):
    from transformers import AutoTokenizer, GenerationConfig

    out = tmp_path / "out"
    assert export(f"model={checkpoint}", f"output={out}") == 0
    with torch.no_grad():
        ours = load_model(checkpoint)
        torch.testing.assert_close(transformers_logits(out, IDS), ours.logits(ours(IDS)), atol=1e-4, rtol=1e-4)
    tokenizer = AutoTokenizer.from_pretrained(out)
    text = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert text == "<|im_start|>user\nhi<|im_end|>\n"
    assert GenerationConfig.from_pretrained(out).eos_token_id == [0, tokenizer.convert_tokens_to_ids("<|im_end|>")]


def test_adapter_is_merged_as_peft_applies_it(checkpoint, adapter, tmp_path):
    assert export(f"model={checkpoint}", f"adapter={adapter}", f"output={tmp_path / 'out'}") == 0
    wanted = transformers_logits(checkpoint, IDS, adapter)
    assert (wanted - transformers_logits(checkpoint, IDS)).abs().max() > 0.1
    torch.testing.assert_close(transformers_logits(tmp_path / "out", IDS), wanted, atol=1e-4, rtol=1e-4)
    assert export(f"model={checkpoint}", f"adapter={adapter}", f"output={tmp_path / 'half'}", "dtype=bf16") == 0
    assert json.loads((tmp_path / "half" / "verification.json").read_text())["max_abs_difference_rounded"] == 0


def test_bf16_halves_the_bytes_and_says_so_in_the_config(checkpoint, tmp_path, capsys):
    assert export(f"model={checkpoint}", f"output={tmp_path / 'fp32'}") == 0
    assert export(f"model={checkpoint}", f"output={tmp_path / 'bf16'}", "dtype=bf16") == 0
    full, half = map(json.loads, capsys.readouterr().out.splitlines())
    assert half["bytes"] * 2 == full["bytes"]
    assert json.loads((tmp_path / "bf16" / "config.json").read_text())["dtype"] == "bfloat16"
    found = json.loads((tmp_path / "bf16" / "verification.json").read_text())
    assert found["max_abs_difference_rounded"] == 0 < half["max_abs_difference"] == found["max_abs_difference"]


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_weight_that_was_written_wrong_is_found_whatever_rounding_does(checkpoint, tmp_path, dtype):
    assert export(f"model={checkpoint}", f"output={tmp_path / 'out'}", f"dtype={dtype}") == 0
    written = tmp_path / "out" / "model.safetensors"
    tensors = load_file(written)
    tensors["model.layers.1.mlp.down_proj.weight"][3, 5] += 0.125
    save_file(tensors, written, {"format": "pt"})
    (tmp_path / "out" / artifact.MANIFEST).unlink()  # as in a draft: nothing else tells
    with pytest.raises(ArtifactError, match=r"differ by .* its files are not what was meant"):
        verify(checkpoint, None, tmp_path / "out", tolerance=None, left_out=[])


def test_difference_over_the_tolerance_is_refused_and_leaves_no_output(checkpoint, tmp_path, capsys):
    words = (f"model={checkpoint}", f"output={tmp_path / 'out'}", "dtype=bf16", "tolerance=1e-9")
    assert export(*words) == 2
    assert "more than tolerance=1e-09" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_sharded_weights_are_copied_with_their_index(checkpoint, tmp_path):
    from nemo_core.checkpoint.tensors import iterate_tensors, write_tensors

    tensors = dict(iterate_tensors(checkpoint))
    (checkpoint / "model.safetensors").unlink()
    write_tensors(checkpoint, tensors, max_shard_bytes=20_000)
    assert export(f"model={checkpoint}", f"output={tmp_path / 'out'}", "dtype=bf16") == 0
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in tensors.values()) // 2
    assert transformers_logits(tmp_path / "out", IDS).isfinite().all()


def test_damaged_weights_are_named(checkpoint, tmp_path, capsys):
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert export(f"model={checkpoint}", f"output={tmp_path / 'out'}") == 2
    assert f"{path}: truncated or not safetensors" in capsys.readouterr().err


def test_weights_that_are_not_numbers_are_not_exported(checkpoint, tmp_path, capsys):
    from nemo_core.checkpoint.folder import save_model

    model = load_model(checkpoint)
    model.model.norm.weight.data[3] = torch.nan
    save_model(model, checkpoint)
    assert export(f"model={checkpoint}", f"output={tmp_path / 'out'}") == 2
    assert "tensor 'model.norm.weight' holds 1 NaN" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=/no/such"], "/no/such: no such folder"),
        (["model={tmp}"], "no config.json, so this is no model folder"),
        (["model={model}", "adapter={tmp}"], "holds no adapter_config.json"),
        (["model={model}", "dtype=fp8"], "dtype: invalid enum value 'fp8'"),
        (["model={model}", "adaptor=x"], "did you mean 'adapter'"),
    ],
)
def test_bad_input_is_explained(checkpoint, tmp_path, capsys, words, message):
    empty = tmp_path / "empty"
    empty.mkdir()
    filled = [word.format(tmp=empty, model=checkpoint) for word in words]
    assert export(*filled, f"output={tmp_path / 'out'}") == 2
    assert message in capsys.readouterr().err


def test_existing_output_is_kept_unless_told(checkpoint, tmp_path, capsys):
    words = (f"model={checkpoint}", f"output={tmp_path / 'out'}")
    assert export(*words) == 0
    assert export(*words) == 2
    assert "exists already" in capsys.readouterr().err
    assert export(*words, "overwrite=true") == 0
