"""Models with experts, latent attention or norms of their own lie in its checkpoints as megatron.core declares them."""

import argparse
import dataclasses
from pathlib import Path

import pytest
import torch

from nemo_core.checkpoint.folder import load_config, load_model, save_model
from nemo_core.checkpoint.foreign.stacked import StackedFolder, stacked_tensors
from nemo_core.checkpoint.foreign.torch_dist import StoredTensor, TorchDistReader, write_torch_dist
from nemo_core.cli import main
from nemo_core.config import MLAConfig, ModelConfig, MoEConfig, NormConfig
from nemo_core.megatron.mapping import entries
from nemo_core.model.decoder import Decoder

from .family_cases import CASES, write_case

SHAPE = ModelConfig(
    vocab_size=64, hidden_size=32, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=8, ffn_size=40, max_positions=32
)
MIXED = MoEConfig(num_experts=4, top_k=2, ffn_size=24, shared_ffn_size=48, dense_layers=(0,))
EXPERTS = {
    "in all layers": dataclasses.replace(SHAPE, moe=MoEConfig(num_experts=4, top_k=2, ffn_size=24)),
    "in some layers, one for all": dataclasses.replace(SHAPE, moe=MIXED),
    "with a bias of the router": dataclasses.replace(
        SHAPE, moe=dataclasses.replace(MIXED, score="sigmoid", correction_bias=True, dense_layers=())
    ),
    "none, norms behind blocks and of whole projections": dataclasses.replace(
        SHAPE, qk_norm="projection", norm=NormConfig(placement="post")
    ),
}
FAMILIES = ("mixtral", "deepseek_v2", "olmo2", "olmo3")
CONVERTED = [name for name, (family, *_) in CASES.items() if "moe" in family or family in FAMILIES]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", [*CONVERTED, "deepseek_v3"])
def test_to_megatron_and_back_is_the_same_folder(tmp_path, name):
    write_case(name, tmp_path / "theirs")
    assert main(["convert", f"model={tmp_path / 'theirs'}", f"output={tmp_path / 'hf'}"]) == 0
    assert main(["convert", f"model={tmp_path / 'hf'}", f"output={tmp_path / 'megatron'}", "format=megatron"]) == 0
    assert main(["convert", f"model={tmp_path / 'megatron'}", f"output={tmp_path / 'back'}"]) == 0
    first, second = (next((tmp_path / folder).glob("*.safetensors")).read_bytes() for folder in ("hf", "back"))
    assert first == second
    assert load_config(tmp_path / "hf") == load_config(tmp_path / "back")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EXPERTS)
def test_names_and_shapes_are_those_that_megatron_declares(name):
    pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")
    from nemo_core.megatron.distributed_checkpoint import sharded_weights
    from nemo_core.megatron.model import MegatronDecoder
    from nemo_core.megatron.parallel import process_groups

    config = EXPERTS[name]
    written = stacked_tensors(config, Decoder(config, seed=0).state_dict().__getitem__)
    ours = {stored.key: stored.size for stored in written}
    with process_groups():
        sharded = sharded_weights(MegatronDecoder(config))
        built = [part for one in sharded.values() for part in (one.build() if hasattr(one, "build") else [one])]
    assert ours == {one.key: tuple(one.global_shape) for one in built}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EXPERTS)
def test_megatron_loads_what_we_write_and_we_read_what_it_writes(tmp_path, name):
    pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")
    from megatron.core import dist_checkpointing

    from nemo_core.checkpoint.foreign.source import MegatronSource
    from nemo_core.megatron.distributed_checkpoint import save_distributed, sharded_weights
    from nemo_core.megatron.model import MegatronDecoder
    from nemo_core.megatron.parallel import process_groups
    from nemo_core.megatron.weights import load_weights

    config = EXPERTS[name]
    weights = Decoder(config, seed=0).state_dict()
    write_torch_dist(tmp_path / "ours", stacked_tensors(config, weights.__getitem__), common={})
    with process_groups():
        model = MegatronDecoder(config)
        load_weights(model, weights.__getitem__)
        loaded = dist_checkpointing.load(sharded_weights(MegatronDecoder(config)), str(tmp_path / "ours"))
        assert all(torch.equal(loaded[key], weight) for key, weight in model.gpt.named_parameters())
        save_distributed(model, tmp_path / "theirs")
    read = dict(MegatronSource(StackedFolder(tmp_path / "theirs"), config))
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[key], weights[key]) for key in weights)


def test_one_expert_is_read_from_a_chunk_of_several(tmp_path):
    """All experts of a layer in one chunk, of which one is asked for."""
    whole = torch.arange(2 * 4 * 6 * 5.0).reshape(2, 4, 6, 5)
    stored = [StoredTensor("stack", whole[layer], (layer,), (2,)) for layer in range(2)]
    write_torch_dist(tmp_path, stored, common={})
    reader = TorchDistReader(tmp_path)
    assert torch.equal(reader.read("stack", at=(1, 3)), whole[1, 3])
    assert torch.equal(reader.read("stack", at=(0,)), whole[0])
    assert torch.equal(reader.read("stack"), whole)


def test_latent_attention_has_the_names_of_transformer_engine():
    config = dataclasses.replace(
        SHAPE, num_kv_heads=4, head_dim=14, mla=MLAConfig(kv_rank=10, q_rank=9, plain_dim=8, rotary_dim=6, value_dim=7)
    )
    names = {entry.written for entry in entries(config, vocabulary=64) if entry.layer == 0}
    attention = "self_attention."
    assert names == {
        "input_layernorm.weight",
        "mlp.linear_fc1.layer_norm_weight",
        "mlp.linear_fc1.weight",
        "mlp.linear_fc2.weight",
        f"{attention}linear_q_down_proj.weight",
        f"{attention}linear_q_up_proj.layer_norm_weight",
        f"{attention}linear_q_up_proj.weight",
        f"{attention}linear_kv_down_proj.weight",
        f"{attention}linear_kv_up_proj.layer_norm_weight",
        f"{attention}linear_kv_up_proj.weight",
        f"{attention}linear_proj.weight",
    }


def test_a_missing_expert_is_named(tmp_path, capsys):
    config = dataclasses.replace(EXPERTS["in all layers"], family="mixtral", ffn_size=24)
    save_model(Decoder(config, seed=0), tmp_path / "hf")
    weights = load_model(tmp_path / "hf").state_dict()
    stored = [one for one in stacked_tensors(config, weights.__getitem__) if "experts.linear_fc2" not in one.key]
    write_torch_dist(tmp_path / "run" / "release", stored, common={})
    Path(tmp_path / "run/latest_checkpointed_iteration.txt").write_text("release")
    words = [f"model={tmp_path / 'run'}", f"output={tmp_path / 'x'}", f"config={tmp_path / 'hf'}"]
    assert main(["convert", *words]) != 0
    assert "mlp.experts.experts.0.linear_fc2.weight" in capsys.readouterr().err


ARGUMENTS = {
    "num_layers": 3,
    "hidden_size": 32,
    "ffn_hidden_size": 40,
    "num_attention_heads": 4,
    "group_query_attention": True,
    "num_query_groups": 2,
    "kv_channels": 8,
    "max_position_embeddings": 32,
    "norm_epsilon": 1e-5,
    "normalization": "RMSNorm",
    "swiglu": True,
    "add_bias_linear": False,
    "position_embedding_type": "rope",
    "untie_embeddings_and_output_weights": True,
    "vocab_size": 64,
    "num_experts": 4,
    "moe_router_topk": 2,
}


def test_a_run_of_megatron_lm_with_experts_is_read_by_its_arguments(tmp_path):
    config = dataclasses.replace(SHAPE, family="mixtral", moe=MoEConfig(num_experts=4, top_k=2, ffn_size=40))
    weights = Decoder(config, seed=0).state_dict()
    stored = stacked_tensors(config, weights.__getitem__)
    write_torch_dist(tmp_path / "run", stored, common={"args": argparse.Namespace(**ARGUMENTS)})
    words = [f"model={tmp_path / 'run'}", f"output={tmp_path / 'hf'}", "source_format=megatron"]
    assert main(["convert", *words]) == 0
    back = load_model(tmp_path / "hf")
    assert back.config == config
    assert all(torch.equal(back.state_dict()[name], weight) for name, weight in weights.items())


def test_a_pattern_of_experts_that_is_no_list_is_refused(tmp_path, capsys):
    config = EXPERTS["in all layers"]
    stored = stacked_tensors(config, Decoder(config, seed=0).state_dict().__getitem__)
    arguments = argparse.Namespace(**ARGUMENTS, moe_layer_freq="([0]*1+[1]*2)")
    write_torch_dist(tmp_path / "run", stored, common={"args": arguments})
    words = [f"model={tmp_path / 'run'}", f"output={tmp_path / 'hf'}", "source_format=megatron"]
    assert main(["convert", *words]) != 0
    assert "moe_layer_freq='([0]*1+[1]*2)' is not representable" in capsys.readouterr().err
