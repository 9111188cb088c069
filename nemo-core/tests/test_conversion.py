"""convert, inspect and diff: exact, refused by name, and in memory bounded by a tensor or two."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nemo_core.checkpoint.folder import load_config, load_model, save_model
from nemo_core.checkpoint.reader import TensorFolder
from nemo_core.checkpoint.tensors import iterate_tensors, write_tensors
from nemo_core.cli import main
from nemo_core.config import MLAConfig, ModelConfig, MoEConfig, NormConfig
from nemo_core.model.decoder import Decoder

TINY = ModelConfig(
    vocab_size=67, hidden_size=32, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=8, ffn_size=44, max_positions=64
)
GPT2 = dataclasses.replace(
    TINY,
    family="gpt2",
    num_kv_heads=4,
    norm=NormConfig(kind="layer", bias=True),
    rope=None,
    attention_bias=True,
    output_bias=True,
    mlp_bias=True,
    gated_mlp=False,
    activation="gelu_tanh",
    tied_embeddings=True,
)
DEEPSEEK = dataclasses.replace(
    TINY,
    family="deepseek_v3",
    num_kv_heads=4,
    head_dim=14,
    mla=MLAConfig(kv_rank=10, q_rank=9, plain_dim=8, rotary_dim=6, value_dim=7),
    moe=MoEConfig(
        num_experts=4,
        top_k=2,
        ffn_size=16,
        score="sigmoid",
        correction_bias=True,
        groups=2,
        top_groups=2,
        shared_ffn_size=16,
        dense_layers=(0,),
    ),
)


def write_model(folder: Path, config: ModelConfig, seed: int = 0) -> Path:
    model = Decoder(config, seed=seed)
    save_model(model, folder)
    return folder


def run(capsys, *words):
    code = main(list(words))
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out.startswith("{") else None, captured.err


@pytest.mark.parametrize("config", [TINY, GPT2, DEEPSEEK], ids=["llama", "gpt2", "deepseek_v3"])
def test_converting_into_small_files_keeps_every_byte(tmp_path, capsys, config):
    source, target = write_model(tmp_path / "source", config), tmp_path / "target"
    values = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**values, "note": "kept", "torch_dtype": "float32"}))
    code, result, _ = run(capsys, "convert", f"model={source}", f"output={target}", "max_shard_gib=0.00001")
    assert code == 0
    assert result["parameters"] == config.num_parameters
    assert len(list(target.glob("*.safetensors"))) > 3
    before, after = dict(iterate_tensors(source)), dict(iterate_tensors(target))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    written = json.loads((target / "config.json").read_text())
    assert (written["note"], written["dtype"], "torch_dtype" in written) == ("kept", "float32", False)
    assert run(capsys, "diff", f"first={source}", f"second={target}")[0] == 0


def test_a_llama_becomes_a_mistral_and_back_and_a_phi(tmp_path, capsys):
    source = write_model(tmp_path / "llama", TINY)
    ids = torch.arange(40)[None]
    expected = load_model(source)
    for family in ("mistral", "phi3", "llama"):
        target = tmp_path / f"to-{family}"
        assert run(capsys, "convert", f"model={source}", f"output={target}", f"family={family}")[0] == 0
        model = load_model(target)
        assert model.config == dataclasses.replace(TINY, family=family)
        assert torch.equal(model(ids), expected(ids))
        source = target
    first, last = dict(iterate_tensors(tmp_path / "llama")), dict(iterate_tensors(source))
    assert first.keys() == last.keys()
    assert all(torch.equal(first[name], last[name]) for name in first)
    code, _, error = run(capsys, "convert", f"model={source}", f"output={tmp_path / 'no'}", "family=gpt2")
    assert code == 2
    assert "family 'gpt2' cannot represent" in error
    assert not (tmp_path / "no").exists()


def test_rounding_rounds_weights_and_leaves_what_steers_experts(tmp_path):
    source = write_model(tmp_path / "source", DEEPSEEK)
    assert main(["convert", f"model={source}", f"output={tmp_path / 'half'}", "dtype=bfloat16"]) == 0
    before, after = dict(iterate_tensors(source)), dict(iterate_tensors(tmp_path / "half"))
    for name, tensor in after.items():
        kept = name.endswith("e_score_correction_bias")
        assert tensor.dtype == (torch.float32 if kept else torch.bfloat16)
        assert torch.equal(tensor, before[name].to(tensor.dtype))
    assert json.loads((tmp_path / "half/config.json").read_text())["dtype"] == "bfloat16"


def test_unknown_formats_and_places_are_named(tmp_path, capsys):
    source = write_model(tmp_path / "source", TINY)
    code, _, error = run(capsys, "convert", f"model={source}", f"output={tmp_path / 'a'}", "format=hff")
    assert (code, "unknown format 'hff'; one of hf" in error) == (2, True)
    code, _, error = run(capsys, "convert", f"model={tmp_path / 'gone'}", f"output={tmp_path / 'a'}")
    assert (code, "gone: no such file or folder" in error) == (2, True)
    (tmp_path / "empty").mkdir()
    code, _, error = run(capsys, "convert", f"model={tmp_path / 'empty'}", f"output={tmp_path / 'a'}")
    assert (code, "in none of the known formats (hf" in error) == (2, True)


def test_inspect_tells_family_sizes_and_tokens_and_names_damage(tmp_path, capsys):
    source = write_model(tmp_path / "source", dataclasses.replace(DEEPSEEK, eos_id=2, more_eos_ids=(5,)))
    code, facts, _ = run(capsys, "inspect", str(source))
    assert code == 0
    tensors = dict(iterate_tensors(source))
    assert facts["family"] == "deepseek_v3"
    assert facts["architecture"] == "DeepseekV3ForCausalLM"
    assert facts["parameters"] == sum(t.numel() for n, t in tensors.items() if "correction" not in n)
    assert facts["bytes"] == sum(t.numel() * t.element_size() for t in tensors.values())
    assert facts["parameters"] - facts["active_parameters"] == 2 * 3 * 32 * 16
    assert facts["tokens"] == {"vocabulary": 67, "tokenizer": None, "bos_id": None, "eos_ids": [2, 5], "pad_id": None}
    path = source / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    code, _, error = run(capsys, "inspect", str(source))
    assert (code, "model.safetensors: truncated or not safetensors" in error) == (2, True)


def test_diff_lists_what_differs_largest_first(tmp_path, capsys):
    first = write_model(tmp_path / "first", TINY)
    model = load_model(first)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] += 0.5
        model.model.norm.weight[0] = torch.nan
    second = tmp_path / "second"
    save_model(model, second)
    values = json.loads((second / "config.json").read_text())
    (second / "config.json").write_text(json.dumps({**values, "rms_norm_eps": 1e-3}))
    code, report, error = run(capsys, "diff", f"first={first}", f"second={second}")
    assert code == 1
    assert "differ: 1 settings, 2 tensors" in error
    assert report["config"] == {"norm_eps": [1e-5, 1e-3]}
    assert [found["name"] for found in report["largest"]] == ["model.norm.weight", "model.layers.1.mlp.up_proj.weight"]
    assert report["largest"][1]["largest"] == pytest.approx(0.5)
    smaller = write_model(tmp_path / "smaller", dataclasses.replace(TINY, num_layers=1, ffn_size=40))
    code, report, error = run(capsys, "diff", f"first={first}", f"second={smaller}", "limit=2")
    assert code == 1
    assert report["shapes"]["model.layers.0.mlp.gate_proj.weight"] == [[44, 32], [40, 32]]
    assert len(report["only_in_first"]) == 2
    assert report["only_in_second"] == []


def test_a_folder_without_special_types_reads_as_the_library_does(tmp_path):
    draw = torch.Generator().manual_seed(0)
    tensors = {
        "a": torch.randn(3, 5, generator=draw),
        "b": torch.randn(7, generator=draw).to(torch.bfloat16),
        "c": torch.arange(6).view(2, 3),
        "d": torch.tensor([True, False]),
        "e": torch.zeros(0, 4),
        "f": torch.randn(2, 2, generator=draw).to(torch.float8_e4m3fn),
        "g": torch.tensor(1.5, dtype=torch.float64),
    }
    write_tensors(tmp_path, tensors)
    folder = TensorFolder(tmp_path)
    for name, tensor in tensors.items():
        found = folder.read(name)
        assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(
            found.view(torch.uint8) if found.ndim else found, tensor.view(torch.uint8) if tensor.ndim else tensor
        )


MEASURED = """
import resource, sys
from nemo_core.checkpoint.folder import load_model
from nemo_core.cli import main
import nemo_core.checkpoint.convert, nemo_core.checkpoint.hf_format, torch
torch.set_num_threads(1)
source, target, small = sys.argv[1:]
assert main(["convert", f"model={small}", f"output={target}-warm", "dtype=bfloat16", "family=phi3"]) == 0
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
assert main(["convert", f"model={source}", f"output={target}", "dtype=bfloat16", "family=phi3"]) == 0
converted = peak()
model = load_model(source)
assert "torch._dynamo" not in sys.modules
print(converted - before, peak() - before)
"""


def test_converting_and_loading_hold_a_few_tensors_beside_the_model(tmp_path):
    config = dataclasses.replace(TINY, vocab_size=256, hidden_size=1024, num_layers=4, head_dim=256, ffn_size=2048)
    source, small = write_model(tmp_path / "source", config), write_model(tmp_path / "small", TINY)
    mebibyte = 2**20
    model, largest = config.num_parameters * 4 / mebibyte, 2 * 2048 * 1024 * 4 / mebibyte
    assert model > 8 * largest
    words = [sys.executable, "-c", MEASURED, str(source), str(tmp_path / "target"), str(small)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    converted, loaded = map(float, done.stdout.split()[-2:])
    assert converted < 3 * largest
    assert loaded < model + 3 * largest
    assert load_config(tmp_path / "target").family == "phi3"
