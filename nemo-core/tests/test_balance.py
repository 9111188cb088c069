"""Experts are balanced as transformers and DeepSeek do it, without touching the reported loss."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from nemo_core.checkpoint.folder import copy_tokenizer, save_model
from nemo_core.checkpoint.tensors import iterate_tensors
from nemo_core.cli import main
from nemo_core.config import ModelConfig, MoEConfig
from nemo_core.data.batch import IGNORED, Batch, micro_batches
from nemo_core.families import config_from_hf
from nemo_core.foundation import settings as settings_module
from nemo_core.foundation.errors import ConfigError
from nemo_core.model.decoder import Decoder
from nemo_core.model.moe import Router, overhear
from nemo_core.parallel.settings import ParallelSettings
from nemo_core.train.balance import Balanced, balance_over_batch, balance_over_sequences, balanced, real_tokens
from nemo_core.train.care import ExpertSettings
from nemo_core.train.loop import train
from nemo_core.train.metrics import read_metrics
from nemo_core.train.objective import next_token_loss
from nemo_core.train.pretrain import assemble
from nemo_core.train.session import make_plan
from nemo_core.train.settings import PretrainSettings
from nemo_core.train.world import ALONE

from .family_cases import CASES

MOE = MoEConfig(num_experts=4, top_k=2, ffn_size=12, balance_loss=0.02, balances=True, dense_layers=(1,))
CONFIG = ModelConfig(
    vocab_size=31, hidden_size=16, num_layers=3, num_heads=2, num_kv_heads=2, head_dim=8, ffn_size=24, moe=MOE
)
LATE = dataclasses.replace(MOE, score="sigmoid", correction_bias=True, balance_over="sequence")
IDS = torch.arange(24).reshape(3, 8) * 7 % 31
SEGMENTS = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 2], [0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1, 1]])
IS_FILLING = SEGMENTS.eq(SEGMENTS[:, -1:])
TARGETS = torch.where(IS_FILLING | (IDS % 5 == 0), IGNORED, IDS.roll(-1, 1))
PACKED = Batch(IDS, TARGETS, torch.arange(8).expand(3, 8), SEGMENTS)
WHOLE = Batch(IDS, IDS.roll(-1, 1))


def redrawn(moe: MoEConfig = MOE, **changes) -> Decoder:
    model = Decoder(dataclasses.replace(CONFIG, moe=moe, **changes), seed=0)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for router in (module for module in model.modules() if isinstance(module, Router)):
            router.weight.normal_(0.0, 1.0, generator=draw)
    return model


def gradient(model: Decoder, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def router_logits(model: Decoder, batch: Batch) -> tuple[torch.Tensor, ...]:
    found: list[torch.Tensor] = []
    hooks = [
        module.register_forward_hook(lambda router, inputs, _: found.append(inputs[0] @ router.weight.T))
        for module in model.modules()
        if isinstance(module, Router)
    ]
    model(batch.ids_BT, batch.positions_BT, batch.segments_BT)
    for hook in hooks:
        hook.remove()
    return tuple(found)


@pytest.mark.parametrize("batch", [WHOLE, PACKED], ids=["whole rows", "packed rows"])
def test_value_and_gradient_are_those_of_transformers_on_the_same_logits(batch):
    model = redrawn()
    theirs = load_balancing_loss_func(
        router_logits(model, batch), MOE.num_experts, MOE.top_k, attention_mask=real_tokens(batch).long()
    )
    wanted = gradient(model, next_token_loss(model, batch) / batch.num_targets + MOE.balance_loss * theirs)
    objective = balanced(next_token_loss, model.config, ExpertSettings(), ParallelSettings())
    loss = objective(model, batch) / batch.num_targets
    found = gradient(model, loss)
    assert loss.item() == pytest.approx(next_token_loss(model, batch).item() / batch.num_targets)
    assert objective.taken_figures(ALONE)["balance_loss"] == pytest.approx(theirs.item(), rel=1e-6)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-7, msg=name)


@pytest.mark.parametrize("batch", [WHOLE, PACKED], ids=["whole rows", "packed rows"])
def test_the_routers_z_loss_is_megatrons_of_every_layer(batch):
    moe_utils = pytest.importorskip("megatron.core.transformer.moe.moe_utils", reason="megatron-core is missing")
    model = redrawn()
    is_filling = ~real_tokens(batch).flatten()
    theirs = sum(
        moe_utils.z_loss_func(logits.view(len(is_filling), -1), 0.3, padding_mask=is_filling)
        for logits in router_logits(model, batch)
    )
    wanted = gradient(model, next_token_loss(model, batch) / batch.num_targets + theirs)
    settings = ExpertSettings(balance_loss=0.0, z_loss=0.3)
    objective = balanced(next_token_loss, model.config, settings, ParallelSettings())
    found = gradient(model, objective(model, batch) / batch.num_targets)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("balances", [False, True])
def test_training_minimises_by_default_what_transformers_does_on_the_same_folder(tmp_path, balances):
    moe = dataclasses.replace(MOE, dense_layers=(), balance_loss=0.5, balances=balances)
    model = redrawn(dataclasses.replace(moe, ffn_size=24), family="mixtral")
    save_model(model, tmp_path / "model")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    assert theirs.config.output_router_logits == balances
    theirs(input_ids=IDS, labels=IDS).loss.backward()
    targets = IDS.roll(-1, 1)
    targets[:, -1] = IGNORED
    batch = Batch(IDS, targets)
    objective = balanced(next_token_loss, model.config, ExpertSettings(), ParallelSettings())
    found = gradient(model, objective(model, batch) / batch.num_targets)
    for layer in range(3):
        wanted = theirs.model.layers[layer].mlp.gate.weight.grad
        torch.testing.assert_close(found[f"model.layers.{layer}.mlp.gate.weight"], wanted, rtol=1e-3, atol=1e-7)


def test_filling_behind_packed_texts_counts_for_nothing():
    assert real_tokens(PACKED).tolist() == (PACKED.segments_BT < PACKED.segments_BT[:, -1:]).tolist()
    assert real_tokens(WHOLE).all()


def test_even_routing_costs_as_little_as_can_be():
    model = redrawn(dataclasses.replace(MOE, top_k=4))
    with overhear(model) as routings:
        model(IDS)
    one = routings[0]
    even = [dataclasses.replace(one, score_NX=torch.full_like(one.score_NX, 0.25))] * 2
    assert balance_over_batch(even, real_tokens(WHOLE)).item() == pytest.approx(4.0)
    assert balance_over_sequences(even, real_tokens(WHOLE)).tolist() == pytest.approx([2.0] * 3)


def test_balance_over_sequences_is_deepseeks_formula_row_by_row():
    model = redrawn(LATE)
    with overhear(model) as routings:
        model(PACKED.ids_BT, PACKED.positions_BT, PACKED.segments_BT)
    found = balance_over_sequences(routings, real_tokens(PACKED))
    for row in range(3):
        length = int(real_tokens(PACKED)[row].sum())
        wanted = 0.0
        for one in routings:
            places = slice(row * 8, row * 8 + length)
            scores, chosen = one.score_NX[places], one.chosen_NC[places]
            for expert in range(4):
                frequency = 4 / (2 * length) * (chosen == expert).sum()
                wanted += (frequency * (scores[:, expert] / scores.sum(-1)).mean()).item()
        assert found[row].item() == pytest.approx(wanted, rel=1e-5)


def test_balance_over_sequences_does_not_depend_on_how_rows_are_split():
    model, whole = redrawn(LATE), Balanced(next_token_loss, 0.1)
    wanted = gradient(model, whole(model, PACKED))
    split = Balanced(next_token_loss, 0.1)
    found = gradient(model, torch.stack([split(model, part) for part in micro_batches(PACKED, rows=1)]).sum())
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)
    assert whole.taken_figures(ALONE) == pytest.approx(split.taken_figures(ALONE), rel=1e-5)


def test_recomputed_layers_give_the_same_gradient():
    from nemo_core.parallel.recompute import recompute_layers

    model = redrawn()
    wanted = gradient(model, Balanced(next_token_loss, 0.1)(model, WHOLE))
    recompute_layers(model, "full")
    for name, value in gradient(model, Balanced(next_token_loss, 0.1)(model, WHOLE)).items():
        torch.testing.assert_close(value, wanted[name], msg=name)


def test_training_with_it_evens_out_the_experts():
    def unevenness(weight: float) -> float:
        model = redrawn()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        objective = Balanced(next_token_loss, weight)
        for _ in range(40):
            gradient(model, objective(model, WHOLE) / WHOLE.num_targets)
            optimizer.step()
            figures = objective.taken_figures(ALONE)
        return figures["balance_loss"]

    assert unevenness(1.0) < unevenness(0.0) - 0.05


def test_a_correction_bias_moves_towards_idle_experts():
    model = redrawn(LATE)
    objective = Balanced(next_token_loss, 0.0, bias_rate=0.01)
    objective(model, WHOLE)
    (router, counts), *_ = list(objective.chosen.items())
    objective.move_biases(model, ALONE, skip=False)
    wanted = 0.01 * (counts.mean() - counts).sign()
    assert torch.equal(router.e_score_correction_bias, wanted)
    objective(model, WHOLE)
    objective.move_biases(model, ALONE, skip=True)
    assert torch.equal(router.e_score_correction_bias, wanted) and not objective.chosen


@pytest.mark.parametrize(
    ("settings", "parallel", "moe", "said"),
    [
        ({"balance_loss": 0.1}, {}, None, "experts.balance_loss=0.1, but the model has no experts"),
        ({"bias_rate": 0.1}, {}, MOE, "needs routers with a correction bias"),
        ({}, {"pipeline": 2}, MOE, "parallel.pipeline=2: experts are balanced.*experts.balance_loss=0"),
        ({"bias_rate": 0.1}, {"fsdp": 2}, LATE, "experts.bias_rate=0.1 with parallel.fsdp=2"),
    ],
)
def test_what_cannot_be_balanced_is_refused_by_name(settings, parallel, moe, said):
    config = dataclasses.replace(CONFIG, moe=moe)
    with pytest.raises(ConfigError, match=said):
        balanced(next_token_loss, config, ExpertSettings(**settings), ParallelSettings(**parallel))


BALANCED = ("experts.bias_rate=0.01", "experts.balance_loss=0.001")


@pytest.fixture
def moe_words(tokens, tiny_words, tmp_path) -> list[str]:
    """Settings of six steps of a mixture of the DeepSeek V3 family."""
    values = {**CASES["deepseek_v3"][2], "vocab_size": 320, "max_position_embeddings": 64}
    config = config_from_hf({"architectures": ["DeepseekV3ForCausalLM"], **values}, place="the test")
    save_model(Decoder(config, seed=0), tmp_path / "first")
    copy_tokenizer(tokens / "tokenizer", tmp_path / "first")
    words = [word for word in tiny_words if not word.startswith("model.")]
    return [*words, f"continue_from={tmp_path / 'first'}", *BALANCED, "steps=6"]


@pytest.fixture
def settings(moe_words, tmp_path) -> PretrainSettings:
    """The same, checked."""
    return settings_module.load(PretrainSettings, None, [*moe_words, f"output={tmp_path / 'model'}"])


def test_pretraining_reports_balance_beside_the_loss_and_continues_bit_for_bit(settings, tmp_path):
    def trained(folder: Path, *stops: int) -> dict[str, torch.Tensor]:
        for steps in stops:
            parts = assemble(settings)
            plan = make_plan(settings, label="pretrain", steps=steps)
            train(parts, plan, folder)
        return dict(parts.model.state_dict())

    whole = trained(tmp_path / "whole", 6)
    rows = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert len([row for row in rows if "grad_norm" in row]) == 6
    for row in rows:
        assert ("balance_loss" in row) == ("grad_norm" in row)
        assert row.get("balance_loss", 9.0) >= 0.99
    biases = [tensor for name, tensor in whole.items() if name.endswith("e_score_correction_bias")]
    assert all(bool((tensor != 0).any()) for tensor in biases)
    for name, tensor in trained(tmp_path / "parts", 3, 6).items():
        assert torch.equal(tensor, whole[name]), name


@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_two_processes_balance_as_one_does_even_where_one_has_no_row(moe_words, tmp_path, batch_size):
    words = [*moe_words, "steps=3", f"batch_size={batch_size}"]
    assert main(["pretrain", *words, f"output={tmp_path / 'one'}"]) == 0
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nemo_core", "pretrain"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, *words, f"output={tmp_path / 'two'}"]
    subprocess.run(command, check=True, env=environment, timeout=300, capture_output=True)
    rows = {name: list(read_metrics(tmp_path / name / "metrics.jsonl")) for name in ("one", "two")}
    for one, two in zip(rows["one"], rows["two"], strict=True):
        for name in one.keys() & {"loss", "balance_loss", "validation_loss"}:
            assert two[name] == pytest.approx(one[name], rel=1e-4), (name, one["step"])
    models = [dict(iterate_tensors(tmp_path / name)) for name in ("one", "two")]
    biases = [name for name in models[0] if name.endswith("e_score_correction_bias")]
    assert biases
    assert all(torch.equal(models[0][name], models[1][name]) for name in biases)


def test_nothing_is_balanced_where_the_weight_is_zero_or_there_are_no_experts():
    plain = dataclasses.replace(CONFIG, moe=None)
    assert balanced(next_token_loss, plain, ExpertSettings(), ParallelSettings()) is next_token_loss
    off = ExpertSettings(balance_loss=0.0)
    assert balanced(next_token_loss, CONFIG, off, ParallelSettings(pipeline=2)) is next_token_loss
