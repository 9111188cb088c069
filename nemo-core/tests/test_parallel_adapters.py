"""Every method of fine-tuning has the gradients of one process in every layout, or is refused by name."""

import dataclasses
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from laid_out_cases import Adapted, adapted_gradient
from parallel_cases import SHAPE, ragged_batch, restored_draw, trained_state

from nemo_core.config import MoEConfig
from nemo_core.foundation.errors import ConfigError
from nemo_core.model.decoder import Decoder
from nemo_core.parallel.settings import ParallelSettings
from nemo_core.parallel.tensor import styles_of
from nemo_core.peft.adapter import add_adapter
from nemo_core.peft.settings import (
    BottleneckSettings,
    Ia3Settings,
    LoraSettings,
    PromptSettings,
    PTuningSettings,
)
from nemo_core.train.world import World

TIED = {"tied_embeddings": True}
ONE_KEY_HEAD = {"num_kv_heads": 1, "qk_norm": "head", "attention_bias": True}
MIXTURE = {"moe": MoEConfig(num_experts=4, top_k=2, ffn_size=12)}
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
METHODS = {
    "lora": Adapted("lora", LoraSettings(rank=2)),
    "lora, other modules whole": Adapted("lora", LoraSettings(rank=2, modules_to_save=("lm_head", "model.norm"))),
    "lora in 4 bits": Adapted("lora", LoraSettings(rank=2, quantize="nf4")),
    "dora": Adapted("dora", LoraSettings(rank=2)),
    "ia3": Adapted("ia3", Ia3Settings(targets=LINEAR, feedforward=("o_proj", "up_proj", "down_proj")), ONE_KEY_HEAD),
    "prompt": Adapted("prompt", PromptSettings(num_tokens=4)),
    "prompt, embeddings tied": Adapted("prompt", PromptSettings(num_tokens=4), TIED),
    "ptuning": Adapted("ptuning", PTuningSettings(num_tokens=4)),
    "ptuning, lstm": Adapted("ptuning", PTuningSettings(num_tokens=4, encoder="lstm", num_layers=1)),
    "adapter": Adapted("adapter", BottleneckSettings(size=4), ONE_KEY_HEAD),
    "adapter, norm after": Adapted("adapter", BottleneckSettings(size=4, norm="post"), {"residual": "parallel"}),
    "parallel_adapter": Adapted("parallel_adapter", BottleneckSettings(size=4), TIED),
}
TWOS = {
    "data": ParallelSettings(),
    "fsdp": ParallelSettings(fsdp=2),
    "tensor": ParallelSettings(tensor=2),
    "context": ParallelSettings(context=2),
    "pipeline": ParallelSettings(pipeline=2),
    "expert": ParallelSettings(expert=2),
    "expert x fsdp": ParallelSettings(expert=2, fsdp=2),
}
REFUSED = {("lora in 4 bits", "tensor"), ("ptuning, lstm", "tensor")}


def close(found: list[float]) -> bool:
    return max(found) < 5e-6


@pytest.mark.slow
@pytest.mark.parametrize("layout", TWOS)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_the_gradients_of_one_process_in_every_layout(two, name, layout):
    if (name, layout) in REFUSED:
        pytest.skip("refused by name: see below")
    if "4 bits" in name:
        pytest.importorskip("bitsandbytes", reason="the extra [qlora] is not installed")
    adapted = METHODS[name]
    if "expert" in layout:
        adapted = dataclasses.replace(adapted, changes={**adapted.changes, **MIXTURE})
    assert close(two(adapted_gradient, TWOS[layout], adapted, ragged_batch(6)))


DROPPING = {
    "lora": Adapted("lora", LoraSettings(rank=2, dropout=0.3)),
    "lora, key head shared": Adapted("lora", LoraSettings(rank=2, dropout=0.3), ONE_KEY_HEAD),
    "dora": Adapted("dora", LoraSettings(rank=2, dropout=0.3)),
    "adapter": Adapted("adapter", BottleneckSettings(size=4, dropout=0.3)),
    "parallel_adapter": Adapted("parallel_adapter", BottleneckSettings(size=4, dropout=0.3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("name", DROPPING)
def test_split_matrices_drop_what_one_process_drops(two, name, recompute):
    settings = ParallelSettings(tensor=2, recompute=recompute)
    assert close(two(adapted_gradient, settings, DROPPING[name], ragged_batch(6)))


def test_neighbours_that_share_activations_draw_alike_and_the_others_apart():
    worlds = [World(rank, 4, num_alike=2) for rank in range(4)]
    assert [world.generator for world in worlds] == [0, 0, 1, 1]
    assert World(3, 4).generator == 3


def test_neighbours_that_share_activations_draw_alike_after_a_state_of_others_too(two, tmp_path):
    two(trained_state, ParallelSettings(), str(tmp_path), 1, {})
    apart = two(restored_draw, ParallelSettings(), str(tmp_path))
    alike = two(restored_draw, ParallelSettings(tensor=2), str(tmp_path))
    assert apart[0] != apart[1]
    assert alike == [apart[0]] * 2


@pytest.mark.parametrize(
    ("adapted", "message"),
    [
        (METHODS["lora in 4 bits"], "q_proj is kept in 4 bits, .*; use parallel.fsdp, or lora.quantize=none"),
        (METHODS["ptuning, lstm"], "ptuning.encoder=lstm has no form over several .*; use ptuning.encoder=mlp, or"),
    ],
)
def test_what_is_not_split_is_named_with_what_is(adapted, message):
    if "4 bits" in message:
        pytest.importorskip("bitsandbytes", reason="the extra [qlora] is not installed")
    model = add_adapter(Decoder(SHAPE, seed=0), adapted.method, adapted.settings)
    with pytest.raises(ConfigError, match=message):
        styles_of(model, 2)
