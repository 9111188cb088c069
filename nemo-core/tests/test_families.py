"""Every family: logits equal transformers', folders come back bit for bit, what cannot be said is refused."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch

from nemo_core.checkpoint.folder import load_config, load_model, save_model
from nemo_core.checkpoint.tensors import iterate_tensors
from nemo_core.config import ModelConfig, MoEConfig, NormConfig, RopeConfig
from nemo_core.families import FAMILIES, config_from_hf, config_to_hf, family_packages
from nemo_core.families.layout import tensor_map
from nemo_core.foundation.errors import ArtifactError, ConfigError
from nemo_core.model.decoder import Decoder

from .family_cases import CASES, GPT2, IDS, LLAMA3, SHAPE, YARN, logits_of, write_case

pytest.importorskip("transformers", reason="the reference implementation is not installed")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The checkpoint of a case, made when first asked for, with the logits of the model it came from."""
    made = {}

    def folder_of(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("case")
            model = write_case(name, folder)
            with torch.no_grad():
                made[name] = folder, model(IDS).logits
        return made[name]

    return folder_of


def native_logits(model, ids=IDS):
    with torch.no_grad():
        return model.logits(model(ids))


@pytest.mark.parametrize("name", CASES)
def test_logits_equal_those_of_transformers(folders, name):
    folder, expected = folders(name)
    model = load_model(folder)
    assert model.config.family == CASES[name][0]
    assert (native_logits(model) - expected).abs().max() <= 5e-5
    assert expected.std() > 0.05


@pytest.mark.parametrize("name", CASES)
def test_what_we_save_is_the_original_folder_and_transformers_reads_it(folders, name, tmp_path):
    folder, expected = folders(name)
    save_model(load_model(folder), tmp_path)
    original, ours = dict(iterate_tensors(folder)), dict(iterate_tensors(tmp_path))
    assert ours.keys() == original.keys()
    assert all(torch.equal(ours[key], tensor) and ours[key].dtype == tensor.dtype for key, tensor in original.items())
    assert torch.equal(logits_of(tmp_path), expected)
    assert load_config(tmp_path) == load_config(folder)


@pytest.mark.parametrize("name", CASES)
def test_older_spelling_of_the_config_says_the_same(folders, name):
    folder, _ = folders(name)
    config = load_config(folder)
    values = config_to_hf(config, dtype="float32")
    if config.local_rope is None:
        values.pop("rope_parameters", None)
        assert config_from_hf(values, place="config.json") == config
    if CASES[name][0] == "gemma3":
        values.pop("rope_parameters")
        assert config_from_hf(values, place="config.json") == config


@pytest.mark.parametrize("name", CASES)
def test_moments_of_single_tensors_go_to_the_folder_layout_and_back(folders, name):
    config = load_config(folders(name)[0])
    rules = tensor_map(config)
    draw = torch.Generator().manual_seed(2)
    moments = {n: torch.randn(t.shape, generator=draw) for n, t in load_model(folders(name)[0]).state_dict().items()}
    stored = dict(rules.backward(moments.__getitem__))
    assert stored.keys() == rules.by_left.keys()
    back = dict(rules.forward(stored.__getitem__))
    assert back.keys() == moments.keys()
    assert all(torch.equal(back[n], moments[n]) for n in moments)


def test_every_family_has_a_case_and_only_two_small_files():
    import nemo_core.families as families

    assert {case[0] for case in CASES.values()} == set(FAMILIES.values())
    for family in FAMILIES.values():
        files = {path.name: path for path in (Path(families.__file__).parent / family).glob("*.py")}
        assert files.keys() == {"__init__.py", "config.py", "weights.py"}
        assert sum(len(path.read_text().splitlines()) for path in files.values()) < 150


def refused(values, message):
    with pytest.raises(ArtifactError, match=message):
        config_from_hf(values, place="config.json")


def test_what_a_folder_asks_for_and_we_do_not_compute_is_refused_by_name():
    llama = {"architectures": ["LlamaForCausalLM"], **SHAPE}
    refused({**llama, "hidden_act": "mish"}, r"config.json: hidden_act='mish' is not supported; known: silu")
    refused({**llama, "rope_scaling": {"type": "ntk"}}, r"rope type 'ntk' is not supported; known: default, linear")
    refused({**llama, "rope_scaling": {"type": "llama3", "factor": 2.0}}, "'llama3' lacks low_freq_factor, high_freq")
    refused({**llama, "num_key_value_heads": 3}, r"config.json: contradicts itself: num_kv_heads=3 does not divide")
    refused({**llama, "architectures": ["LlamForCausalLM"]}, r"did you mean 'LlamaForCausalLM'")
    refused({"architectures": ["LlamaForCausalLM"]}, r"config.json: lacks num_attention_heads")
    refused({**llama, "hidden_size": "wide"}, r"config.json: holds a value of a wrong kind or size: ")
    refused({**llama, "num_attention_heads": 0}, r"config.json: holds a value of a wrong kind or size: .*zero")
    refused({**llama, "vocab_size": 2.5, "pad_token_id": None}, r"wrong kind or size: Expected `int`, got `float`")
    refused({**llama, "num_hidden_layers": -1}, r"Expected `int` >= 1 - at `\$.num_layers`")
    refused({**llama, "rope_scaling": "linear"}, r"config.json: holds a value of a wrong kind or size: ")
    gpt2 = {"architectures": ["GPT2LMHeadModel"], **GPT2}
    refused({**gpt2, "scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True is not representa")
    refused({**llama, "architectures": ["FalconForCausalLM"], "alibi": True}, "alibi=True is not representable")
    qwen = {**llama, "architectures": ["Qwen2ForCausalLM"], "use_sliding_window": True}
    refused({**qwen, "layer_types": ["linear_attention"] * 3}, "layer type 'linear_attention' is not supported")
    mixtral = {**llama, "architectures": ["MixtralForCausalLM"], "num_local_experts": 2, "num_experts_per_tok": 3}
    refused(mixtral, r"contradicts itself: moe.top_k=3 is more than moe.num_experts=2")


PAGE = Path(__file__).parents[2] / "docs/how-to/add-a-model-family.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="the documentation is not beside the package")
def test_a_family_of_another_distribution_is_found(tmp_path, monkeypatch):
    config, weights = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "falken/falke").mkdir(parents=True)
    for name, text in {"falken/falke/config.py": config, "falken/falke/weights.py": weights}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "falken-1.dist-info").mkdir()
    (tmp_path / "falken-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: falken\nVersion: 1\n")
    entry = "[nemo_core.families]\nFalkeForCausalLM = falken.falke\n"
    (tmp_path / "falken-1.dist-info/entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(tmp_path)
    family_packages.cache_clear()
    try:
        model = Decoder(dataclasses.replace(TINY, family="falke", norm_eps=1e-6), seed=0).eval()
        save_model(model, tmp_path / "model")
        stored = dict(iterate_tensors(tmp_path / "model"))
        assert stored["model.layers.0.self_attn.qkv.weight"].shape == (64, 32)
        assert {"model.wte.weight", "model.layers.1.self_attn.dense.weight"} < stored.keys()
        assert torch.equal(native_logits(load_model(tmp_path / "model")), native_logits(model))
        refused({"architectures": ["FalkeForCausalLM"], **SHAPE, "use_memory": True}, "use_memory=True is not represen")
    finally:
        family_packages.cache_clear()


TINY = ModelConfig(
    vocab_size=67, hidden_size=32, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=8, ffn_size=44, max_positions=64
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "mistral", "mlp_bias": True}, r"family 'mistral' cannot represent mlp_bias=True"),
        ({"family": "llama", "attention_bias": True}, r"'llama' cannot represent output_bias=False .*read as True"),
        ({"family": "llama", "qk_norm": "head"}, r"'llama' cannot represent qk_norm='head'"),
        ({"family": "gemma2"}, r"'gemma2' cannot represent norm=NormConfig"),
        ({"family": "llama", "moe": MoEConfig(num_experts=2, top_k=1, ffn_size=8)}, r"cannot represent moe=MoEConfig"),
        ({"family": "qwen2", "norm": NormConfig(kind="layer")}, r"cannot represent norm=NormConfig\(kind='layer'"),
        ({"family": "gpt2"}, r"'gpt2' cannot represent .*rope=RopeConfig"),
        ({"family": "lama"}, r"family='lama' is unknown; known: .*did you mean 'llama'"),
        (
            {"family": "llama", "rope": RopeConfig(rotary_share=0.5)},
            r"cannot represent this model: .*turns whole heads",
        ),
    ],
)
def test_what_a_family_cannot_say_is_refused_by_name(change, message):
    with pytest.raises(ConfigError, match=message):
        config_to_hf(dataclasses.replace(TINY, **change), dtype="float32")


def test_both_spellings_of_rope_are_read():
    llama = {"architectures": ["LlamaForCausalLM"], **SHAPE}
    older = {key: value for key, value in LLAMA3.items() if key not in ("rope_theta", "rope_type")}
    first = config_from_hf({**llama, "rope_parameters": LLAMA3}, place="")
    second = config_from_hf({**llama, "rope_theta": 5e4, "rope_scaling": {**older, "type": "llama3"}}, place="")
    assert first == second
    assert first.rope.kind == "llama3"
    yarn = {key: value for key, value in YARN.items() if key not in ("factor", "rope_theta")}
    assert config_from_hf({**llama, "rope_scaling": yarn}, place="").rope.factor == 4.0


def test_a_folder_without_the_usual_prefix_is_read(folders, tmp_path):
    from safetensors.torch import save_file

    folder, expected = folders("gpt2")
    weights = {n.removeprefix("transformer."): t for n, t in iterate_tensors(folder)}
    weights["h.0.attn.bias"] = torch.ones(1, 1, 64, 64).tril()
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    assert (native_logits(load_model(tmp_path)) - expected).abs().max() <= 5e-5


def test_unrepresentable_models_leave_no_folder_behind(tmp_path):
    model = Decoder(dataclasses.replace(TINY, qk_norm="head"), seed=0)
    with pytest.raises(ConfigError, match="cannot represent qk_norm"):
        save_model(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_folders_of_any_family_are_named(folders, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders("phi3")[0], tmp_path / "phi3")
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = "model.layers.1.self_attn.qkv_proj.weight"
    save_file({**weights, name: torch.zeros(63, 32)}, path)
    with pytest.raises(ArtifactError, match=r"qkv_proj.weight' is \[63, 32\], config.json asks for \[64, 32\]"):
        load_model(folder)
    save_file({n: t for n, t in weights.items() if n != name}, path)
    with pytest.raises(ArtifactError, match=r"lacks 1 tensor\(s\) that config.json asks for: model.layers.1.self_attn"):
        load_model(folder)
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    with pytest.raises(ArtifactError, match=r"lacks 21 tensor\(s\)"):
        load_model(folder)
    path.write_bytes(json.dumps({"a": 1}).encode())
    with pytest.raises(ArtifactError, match=r"model.safetensors: truncated or not safetensors"):
        load_model(folder)
