"""Checkpoints of Megatron-LM and NeMo come in bit for bit, whatever their layout; nothing in them is run."""

import argparse
import dataclasses
import enum
import io
import json
import os
import pickle
import shutil
import tarfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import yaml

from nemo_core.checkpoint.folder import load_model, save_model
from nemo_core.checkpoint.foreign.stacked import stacked_tensors
from nemo_core.checkpoint.foreign.torch_dist import StoredTensor, write_torch_dist
from nemo_core.cli import main
from nemo_core.config import ModelConfig, NormConfig, RopeConfig
from nemo_core.megatron.mapping import LAYER, entries
from nemo_core.model.decoder import Decoder

LLAMA = ModelConfig(
    vocab_size=61, hidden_size=32, num_layers=4, num_heads=4, num_kv_heads=2, head_dim=8, ffn_size=40, max_positions=64
)
GPT = dataclasses.replace(
    LLAMA,
    num_kv_heads=4,
    norm=NormConfig(kind="layer", bias=True),
    rope=None,
    activation="gelu_tanh",
    gated_mlp=False,
    attention_bias=True,
    output_bias=True,
    mlp_bias=True,
    tied_embeddings=True,
)
NEMO1 = {
    "target": "nemo.collections.nlp.models.language_modeling.megatron_gpt_model.MegatronGPTModel",
    "mcore_gpt": True,
    "num_layers": 4,
    "hidden_size": 32,
    "ffn_hidden_size": 40,
    "num_attention_heads": 4,
    "num_query_groups": 2,
    "kv_channels": None,
    "encoder_seq_length": 64,
    "max_position_embeddings": 64,
    "normalization": "rmsnorm",
    "layernorm_epsilon": 1e-5,
    "activation": "fast-swiglu",
    "bias": False,
    "position_embedding_type": "rope",
    "rotary_percentage": 1.0,
    "rotary_base": 10000,
    "share_embeddings_and_output_weights": False,
    "transformer_block_type": "pre_ln",
    "normalize_attention_scores": True,
    "make_vocab_size_divisible_by": 64,
    "init_method_std": 0.02,
    "precision": "bf16",
}
NEMO1_GPT = {
    **NEMO1,
    "num_query_groups": None,
    "normalization": "layernorm",
    "activation": "gelu",
    "bias_activation_fusion": True,
    "bias": True,
    "position_embedding_type": "learned_absolute",
    "share_embeddings_and_output_weights": True,
}
NEMO2 = {
    "_target_": "nemo.collections.llm.gpt.model.llama.LlamaModel",
    "config": {
        "_target_": "nemo.collections.llm.gpt.model.llama.Llama31Config8B",
        "num_layers": 4,
        "hidden_size": 32,
        "ffn_hidden_size": 40,
        "num_attention_heads": 4,
        "num_query_groups": 2,
        "kv_channels": None,
        "seq_length": 64,
        "normalization": "RMSNorm",
        "layernorm_epsilon": 1e-5,
        "layernorm_zero_centered_gamma": False,
        "gated_linear_unit": True,
        "activation_func": {"_target_": "torch.nn.functional.silu", "_call_": False},
        "bias_activation_fusion": True,
        "add_bias_linear": False,
        "add_qkv_bias": False,
        "position_embedding_type": "rope",
        "rotary_percent": 1.0,
        "rotary_base": 500_000,
        "scale_factor": 8,
        "low_freq_factor": 1,
        "high_freq_factor": 4,
        "old_context_len": 8192,
        "share_embeddings_and_output_weights": False,
        "num_moe_experts": None,
        "init_method_std": 0.02,
    },
    "tokenizer": {"_target_": "nemo.collections.common.tokenizers.huggingface.auto_tokenizer.AutoTokenizer"},
}
LLAMA31 = RopeConfig(theta=5e5, kind="llama3", factor=8.0)
ARGUMENTS = {
    "num_layers": 4,
    "hidden_size": 32,
    "ffn_hidden_size": 40,
    "num_attention_heads": 4,
    "group_query_attention": True,
    "num_query_groups": 2,
    "kv_channels": 8,
    "max_position_embeddings": 64,
    "norm_epsilon": 1e-5,
    "normalization": "RMSNorm",
    "swiglu": True,
    "add_bias_linear": False,
    "position_embedding_type": "rope",
    "rotary_percent": 1.0,
    "rotary_base": 10000,
    "untie_embeddings_and_output_weights": True,
    "vocab_size": 61,
    "padded_vocab_size": 64,
    "init_method_std": 0.02,
}
OLDER_NAMES = {
    "embedding.": "language_model.embedding.",
    "decoder.layers.": "language_model.encoder.layers.",
    "decoder.final_layernorm.": "language_model.encoder.final_layernorm.",
    "self_attention.linear_qkv.layer_norm_": "input_layernorm.",
    "mlp.linear_fc1.layer_norm_": "post_attention_layernorm.",
    "self_attention.linear_qkv.": "self_attention.query_key_value.",
    "self_attention.linear_proj.": "self_attention.dense.",
    "mlp.linear_fc1.": "mlp.dense_h_to_4h.",
    "mlp.linear_fc2.": "mlp.dense_4h_to_h.",
    "output_layer.": "language_model.output_layer.",
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def redrawn(config: ModelConfig) -> Decoder:
    model = Decoder(config, seed=0)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=draw) * 0.2)
    return model.eval()


def megatron_state(model: Decoder, *, rank: int = 0, size: int = 1, stage: range | None = None) -> dict:
    """The state dict of one model-parallel rank, its layers numbered from 0 and its vocabulary padded to 64 rows."""
    weights = dict(model.named_parameters())
    state = OrderedDict()
    layers = stage if stage is not None else range(model.config.num_layers)
    for entry in entries(model.config, vocabulary=64):
        if entry.layer is not None and entry.layer not in layers:
            continue
        if entry.layer is None and entry.name.startswith("embedding") and layers.start != 0:
            continue
        if entry.layer is None and not entry.name.startswith("embedding") and layers.stop != model.config.num_layers:
            continue
        name = entry.name if entry.layer is None else f"{LAYER}{entry.layer - layers.start}.{entry.name}"
        whole = entry.join.join([weights[part].detach() for part in entry.parts])
        state[name] = entry.join.shard(whole, rank=rank, size=size).clone()
    state["decoder.layers.0.self_attention.linear_qkv._extra_state"] = io.BytesIO()
    return state


def renamed(state: dict, prefix: str, older: bool = False) -> dict:
    for former, new in OLDER_NAMES.items() if older else ():
        state = {name.replace(former, new) if new not in name else name: value for name, value in state.items()}
    return {prefix + name: value for name, value in state.items()}


def pack(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, arcname="./")
    return archive


def convert(source: Path, target: Path, *words: str) -> Decoder:
    assert main(["convert", f"model={source}", f"output={target}", *words]) == 0
    return load_model(target)


def assert_same_weights(model: Decoder, expected: Decoder, rows: int | None = None) -> None:
    """Equal bit for bit; of a vocabulary that kept its padding, the tokens."""
    for (name, found), (_, wanted) in zip(model.named_parameters(), expected.named_parameters(), strict=True):
        is_table = rows and name in ("model.embed_tokens.weight", "lm_head.weight")
        assert torch.equal(found[: expected.config.vocab_size] if is_table else found, wanted), name


def nemo_file(tmp_path: Path, settings: dict, files: dict[str, dict]) -> Path:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    (folder / "model_config.yaml").write_text(yaml.safe_dump(settings))
    for name, state in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        torch.save(state, folder / name)
    return pack(folder, tmp_path / "model.nemo")


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(("config", "settings"), [(LLAMA, NEMO1), (GPT, NEMO1_GPT)])
def test_a_nemo_file_of_one_rank(tmp_path, config, settings, older):
    model = redrawn(config)
    state = renamed(megatron_state(model), "model.", older)
    archive = nemo_file(tmp_path, settings, {"model_weights.ckpt": state})
    before = archive.read_bytes()
    found = convert(archive, tmp_path / "hf", "vocab_size=61")
    assert_same_weights(found, model)
    assert dataclasses.replace(found.config, family="llama") == model.config
    assert archive.read_bytes() == before


def test_a_nemo_file_keeps_its_padding_unless_told(tmp_path):
    model = redrawn(LLAMA)
    archive = nemo_file(tmp_path, NEMO1, {"model_weights.ckpt": renamed(megatron_state(model), "model.module.")})
    found = convert(archive, tmp_path / "hf")
    assert found.config.vocab_size == 64
    assert_same_weights(found, model, rows=64)


def test_a_nemo_file_of_tensor_and_pipeline_ranks(tmp_path):
    model = redrawn(LLAMA)
    files = {
        f"tp_rank_{rank:02d}_pp_rank_{stage:03d}/model_weights.ckpt": renamed(
            megatron_state(model, rank=rank, size=2, stage=range(2 * stage, 2 * stage + 2)), "model."
        )
        for rank in range(2)
        for stage in range(2)
    }
    archive = nemo_file(tmp_path, NEMO1, files)
    assert_same_weights(convert(archive, tmp_path / "hf", "vocab_size=61"), model)


def test_a_nemo_file_with_a_distributed_checkpoint(tmp_path):
    model = redrawn(LLAMA)
    folder = tmp_path / "unpacked"
    weights = dict(model.named_parameters())
    stored = stacked_tensors(LLAMA, weights.__getitem__)
    write_torch_dist(
        folder / "model_weights",
        (dataclasses.replace(one, key=f"model.{one.key}") for one in stored),
        common={"optimizer": 1},
    )
    (folder / "model_config.yaml").write_text(yaml.safe_dump(NEMO1))
    assert_same_weights(convert(pack(folder, tmp_path / "model.nemo"), tmp_path / "hf"), model)


@pytest.mark.parametrize("stacked", [True, False])
def test_a_nemo_2_folder(tmp_path, stacked):
    model = redrawn(dataclasses.replace(LLAMA, rope=LLAMA31))
    folder = tmp_path / "nemo2"
    (folder / "context").mkdir(parents=True)
    (folder / "context/model.yaml").write_text(yaml.safe_dump(NEMO2))
    weights = dict(model.named_parameters())
    if stacked:
        stored = list(stacked_tensors(model.config, weights.__getitem__))
    else:
        table = entries(model.config, vocabulary=61)
        stored = [StoredTensor(e.full_name, e.join.join([weights[part] for part in e.parts])) for e in table]
    stored.append(StoredTensor("optimizer.state.exp_avg.output_layer.weight", torch.zeros(3)))
    write_torch_dist(
        folder / "weights",
        (dataclasses.replace(one, key=f"module.{one.key}") if "optim" not in one.key else one for one in stored),
        common={},
    )
    found = convert(folder, tmp_path / "hf")
    assert_same_weights(found, model)
    assert found.config == model.config


class Attention(enum.Enum):
    auto = 1


def test_a_megatron_lm_run_of_ranks_with_its_arguments(tmp_path):
    model = redrawn(LLAMA)
    arguments = argparse.Namespace(**ARGUMENTS, attention_backend=Attention.auto, params_dtype=torch.bfloat16)
    for rank in range(2):
        folder = tmp_path / f"run/iter_0000007/mp_rank_{rank:02d}"
        folder.mkdir(parents=True)
        state = {"args": arguments, "iteration": 7, "model": megatron_state(model, rank=rank, size=2)}
        torch.save(state, folder / "model_optim_rng.pt")
    (tmp_path / "run/latest_checkpointed_iteration.txt").write_text("7")
    assert_same_weights(convert(tmp_path / "run", tmp_path / "hf"), model)


def test_a_megatron_lm_run_of_a_distributed_checkpoint(tmp_path):
    model = redrawn(LLAMA)
    weights = dict(model.named_parameters())
    arguments = argparse.Namespace(**ARGUMENTS, attention_backend=Attention.auto)
    write_torch_dist(tmp_path / "it", stacked_tensors(LLAMA, weights.__getitem__), common={"args": arguments})
    assert_same_weights(convert(tmp_path / "it", tmp_path / "hf", "source_format=megatron"), model)


@pytest.mark.parametrize("config", [LLAMA, GPT])
def test_to_megatron_and_back_is_the_same_folder(tmp_path, config):
    family = "gpt2" if config is GPT else "llama"
    changes = {"ffn_size": 128} if config is GPT else {}
    model = redrawn(dataclasses.replace(config, family=family, **changes))
    save_model(model, tmp_path / "hf")
    words = [f"model={tmp_path / 'hf'}", f"output={tmp_path / 'megatron'}", "format=megatron"]
    assert main(["convert", *words]) == 0
    back = convert(tmp_path / "megatron", tmp_path / "back")
    assert_same_weights(back, model)
    first, second = (next((tmp_path / name).glob("*.safetensors")).read_bytes() for name in ("hf", "back"))
    assert first == second
    assert json.loads((tmp_path / "hf/config.json").read_text()) == json.loads(
        (tmp_path / "back/config.json").read_text()
    )


class Harm:
    """What a malicious checkpoint would run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_an_index_that_would_run_something_is_refused(tmp_path, capsys):
    write_torch_dist(
        tmp_path / "it", stacked_tensors(LLAMA, dict(redrawn(LLAMA).named_parameters()).__getitem__), common={}
    )
    (tmp_path / "it/.metadata").write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    assert main(["convert", f"model={tmp_path / 'it'}", f"output={tmp_path / 'hf'}", "source_format=megatron"]) == 2
    assert "it names posix.mkdir, which no index of tensors needs" in capsys.readouterr().err
    assert not (tmp_path / "harm").exists()


def test_weights_and_arguments_that_would_run_something_do_not(tmp_path):
    model = redrawn(LLAMA)
    state = {**renamed(megatron_state(model), "model."), "hyper_parameters": Harm(tmp_path / "harm")}
    archive = nemo_file(tmp_path, NEMO1, {"model_weights.ckpt": state})
    assert_same_weights(convert(archive, tmp_path / "hf", "vocab_size=61"), model)
    assert not (tmp_path / "harm").exists()


def broken_nemo(tmp_path: Path, change) -> Path:
    state = renamed(megatron_state(redrawn(LLAMA)), "model.")
    settings = dict(NEMO1)
    change(state, settings)
    return nemo_file(tmp_path, settings, {"model_weights.ckpt": state})


def remove(state, settings):
    del state["model.decoder.layers.1.mlp.linear_fc2.weight"]


def add(state, settings):
    state["model.decoder.layers.1.mlp.linear_fc3.weight"] = torch.zeros(2)


def reshape(state, settings):
    state["model.decoder.layers.1.mlp.linear_fc2.weight"] = torch.zeros(32, 41)


def soften(state, settings):
    settings["activation"] = "fast-reglu"


def post_norm(state, settings):
    settings["transformer_block_type"] = "normformer"


def drop_tokens(state, settings):
    settings["moe_expert_capacity_factor"] = 1.25


def forget(state, settings):
    del settings["num_layers"]


def fewer_rows(state, settings):
    state["model.output_layer.weight"] = torch.zeros(60, 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove, "lacks 1 tensor.* first 'decoder.layers.1.mlp.linear_fc2.weight'"),
        (add, "1 tensor.* without a place in the model of the config, first 'decoder.layers.1.mlp.linear_fc3.weight'"),
        (reshape, r"gives model.layers.1.mlp.down_proj.weight as \[32, 41\], the config asks for \[32, 40\]"),
        (soften, "activation='fast-reglu' is not representable"),
        (post_norm, "transformer_block_type='normformer' is not representable: only pre_ln is"),
        (drop_tokens, "moe_expert_capacity_factor=1.25 is not representable"),
        (forget, "model_config.yaml: lacks num_layers"),
        (fewer_rows, r"gives lm_head.weight as \[60, 32\]"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, capsys, change, message):
    import re

    archive = broken_nemo(tmp_path, change)
    assert main(["convert", f"model={archive}", f"output={tmp_path / 'hf'}", "vocab_size=61"]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside"])
def test_an_archive_that_leaves_its_folder_is_not_unpacked(tmp_path, capsys, name):
    archive = tmp_path / "model.nemo"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    assert main(["convert", f"model={archive}", f"output={tmp_path / 'hf'}"]) == 2
    assert f"member {name!r} leaves the folder it is unpacked into" in capsys.readouterr().err


def test_an_archive_with_a_link_is_not_unpacked(tmp_path, capsys):
    archive = tmp_path / "model.nemo"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    assert main(["convert", f"model={archive}", f"output={tmp_path / 'hf'}"]) == 2
    assert "member 'link' is a link or device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("truncate data", "is missing or damaged"),
        ("truncate index", "not read"),
        ("remove data", "is missing or damaged"),
        ("point outside", "points outside the folder"),
        ("truncated tar", "damaged or no tar archive"),
    ],
)
def test_damage_is_named(tmp_path, capsys, harm, message):
    folder = tmp_path / "it"
    weights = dict(redrawn(LLAMA).named_parameters())
    common = {"args": argparse.Namespace(**ARGUMENTS)}
    write_torch_dist(folder, stacked_tensors(LLAMA, weights.__getitem__), common=common)
    source = folder
    data, index = folder / "__0_0.distcp", folder / ".metadata"
    if harm == "truncate data":
        data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    elif harm == "truncate index":
        index.write_bytes(index.read_bytes()[:200])
    elif harm == "remove data":
        data.unlink()
    elif harm == "point outside":
        shutil.move(data, tmp_path / "12345.distcp")
        index.write_bytes(index.read_bytes().replace(b"__0_0.distcp", b"../345.distc"))
    else:
        source = pack(folder, tmp_path / "model.nemo")
        source.write_bytes(b"\x00\x01" + source.read_bytes()[2:700])
    assert main(["convert", f"model={source}", f"output={tmp_path / 'hf'}"]) == 2
    assert message in capsys.readouterr().err
