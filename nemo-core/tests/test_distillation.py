"""Models are pruned where it hurts least and distilled back; losses are torch's own."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parent))

from laid_out_cases import distilled_gradient

from nemo_core.checkpoint.folder import load_model
from nemo_core.cli import main
from nemo_core.config import ModelConfig, MoEConfig, NormConfig
from nemo_core.data.batch import IGNORED, Batch
from nemo_core.distill.loss import DistillationLoss, summed_divergence
from nemo_core.distill.states import teacher_layers
from nemo_core.foundation.errors import ConfigError
from nemo_core.model.decoder import Decoder
from nemo_core.parallel.settings import ParallelSettings
from nemo_core.prune.cut import prune
from nemo_core.prune.importance import measure_importance
from nemo_core.train.objective import next_token_loss

CONFIG = ModelConfig(vocab_size=61, hidden_size=32, num_layers=4, num_heads=4, num_kv_heads=2, head_dim=8, ffn_size=48)
IDS = torch.arange(48).reshape(4, 12) * 7 % 61
BATCH = Batch(IDS, torch.where(IDS % 3 == 0, IGNORED, IDS.roll(-1, 1)))
SIZES = {"num_layers": 3, "hidden_size": 20, "ffn_size": 30, "num_kv_heads": 1}


def redrawn(config: ModelConfig, seed: int = 0) -> Decoder:
    model = Decoder(config)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(1.0 if "norm" in name else 0.0, 0.2, generator=draw)
    return model.eval()


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("caps", [(None, None), (3.0, 2.0)])
@pytest.mark.parametrize("mixture", [0.0, 1e-3, 0.5, 0.9, 1.0])
def test_the_divergence_and_its_gradients_are_those_of_kl_div(temperature, caps, mixture):
    draw = torch.Generator().manual_seed(1)
    hidden, weight, teacher, head = (torch.randn(n, 8, generator=draw) for n in (11, 7, 11, 7))
    hidden.requires_grad_()
    weight.requires_grad_()

    def capped(scores, cap):
        return scores if cap is None else cap * torch.tanh(scores / cap)

    mine, theirs = capped(hidden @ weight.T, caps[0]), capped(teacher @ head.T, caps[1])
    log_mine, log_theirs = (mine / temperature).log_softmax(-1), (theirs / temperature).log_softmax(-1)

    def kl(target, log_shares):
        return F.kl_div(log_shares, target, reduction="sum", log_target=True)

    middle = (mixture * log_theirs.exp() + (1 - mixture) * log_mine.exp()).log()
    between = mixture * kl(log_theirs, middle) + (1 - mixture) * kl(log_mine, middle)
    wanted = {0.0: kl(log_theirs, log_mine), 1.0: kl(log_mine, log_theirs)}.get(mixture, between) * temperature**2
    options = {"temperature": temperature, "mixture": mixture, "chunk": 4}
    found = summed_divergence(hidden, (weight, caps[0]), teacher, (head, caps[1]), **options)
    torch.testing.assert_close(found, wanted)
    for ours, reference in zip(
        torch.autograd.grad(found * 3, (hidden, weight)), torch.autograd.grad(wanted * 3, (hidden, weight)), strict=True
    ):
        torch.testing.assert_close(ours, reference, atol=3e-6, rtol=1e-5)


def test_the_loss_is_a_sum_over_targets_however_rows_are_split():
    loss = DistillationLoss(redrawn(CONFIG, 1), temperature=2.0, share=0.7, hidden_weight=0.5)
    student = redrawn(CONFIG, 2)
    parts = [loss(student, BATCH.rows(slice(n, n + 1))) for n in range(4)]
    torch.testing.assert_close(torch.stack(parts).sum(), loss(student, BATCH))
    same = DistillationLoss(student)(student, BATCH)
    torch.testing.assert_close(same, torch.zeros(()), atol=1e-4, rtol=0)
    only_text = 0.3 * next_token_loss(student, BATCH)
    torch.testing.assert_close(DistillationLoss(student, share=0.7)(student, BATCH), only_text)


def test_states_inside_are_compared_layer_by_layer_at_the_same_share_of_the_depth():
    teacher, student = redrawn(CONFIG, 1), redrawn(dataclasses.replace(CONFIG, num_layers=2), 2)

    def states(model):
        found, x = [], model.embed(BATCH.ids_BT)
        rotation = model.rotations(x.shape[1], None, None, x.dtype)[""]
        for layer in model.model.layers:
            attended = layer.self_attn(layer.input_layernorm(x), rotation, None, None)
            x = layer(x, rotation, None, None)
            found.append({"layer_weight": x, "attention_weight": attended})
        return found

    base = DistillationLoss(teacher)(student, BATCH).detach()
    counts = BATCH.targets_BT != IGNORED
    for name in ("layer_weight", "attention_weight"):
        wanted = 0.0
        for mine, theirs in zip(states(student), states(teacher)[1::2], strict=True):
            apart = (mine[name] - theirs[name]).square().sum(-1) / theirs[name].square().sum(-1)
            wanted = wanted + apart[counts].sum() / 2
        found = DistillationLoss(teacher, **{name: 0.3})(student, BATCH) - base
        torch.testing.assert_close(found, 0.3 * wanted, rtol=1e-4, atol=1e-4)
        student.zero_grad()
        found.backward()
        assert student.model.layers[0].self_attn.o_proj.weight.grad.abs().sum() > 0
    assert teacher_layers(2, 4) == [1, 3]
    assert teacher_layers(3, 4) == [0, 1, 3]
    assert not teacher.model.layers[0]._forward_hooks


VARIANTS = {
    "grouped": CONFIG,
    "all heads": dataclasses.replace(CONFIG, num_kv_heads=4, tied_embeddings=True),
    "biased": dataclasses.replace(
        CONFIG,
        attention_bias=True,
        output_bias=True,
        mlp_bias=True,
        norm=NormConfig(kind="layer", bias=True),
        gated_mlp=False,
        qk_norm="head",
    ),
    "sandwich": dataclasses.replace(
        CONFIG, norm=NormConfig(placement="sandwich"), window=4, layer_kinds=("sliding", "full") * 2
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_pruned_shapes_follow_and_keeping_all_changes_nothing(variant):
    model = redrawn(VARIANTS[variant])
    importance = measure_importance(model, [BATCH])
    small = prune(model, importance, SIZES | {"num_kv_heads": model.config.num_kv_heads // 2})
    assert (small.config.num_layers, small.config.hidden_size, small.config.ffn_size) == (3, 20, 30)
    assert small.config.num_heads == model.config.num_heads // 2
    assert small(IDS).shape == (4, 12, 20)
    whole = prune(model, importance, {})
    assert torch.equal(whole(IDS), model(IDS))


def test_what_does_nothing_is_cut_and_the_answers_stay():
    """Parts that are made idle are found, whatever their place, and leaving them out changes no logit."""
    model = redrawn(CONFIG)
    with torch.no_grad():
        for number, layer in enumerate(model.model.layers):
            layer.mlp.gate_proj.weight[[number, 7, 40]] = 0
            layer.self_attn.v_proj.weight[:8] = 0
        for block in (model.model.layers[2].self_attn.o_proj, model.model.layers[2].mlp.down_proj):
            block.weight.zero_()
    small = prune(model, measure_importance(model, [BATCH]), {"num_layers": 3, "ffn_size": 45, "num_kv_heads": 1})
    torch.testing.assert_close(small.logits(small(IDS)), model.logits(model(IDS)), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_pruned_is_named():
    model = redrawn(CONFIG)
    with pytest.raises(ConfigError, match="ffn_size=64 is more than the model's 48; pruning takes away"):
        prune(model, measure_importance(model, [BATCH]), {"ffn_size": 64})
    with pytest.raises(ConfigError, match="qk_norm=projection cannot be pruned yet"):
        measure_importance(redrawn(dataclasses.replace(CONFIG, qk_norm="projection")), [BATCH])


@pytest.fixture(scope="module")
def teacher(tokens, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "model"
    words = ["model.num_layers=3", "model.hidden_size=64", "model.num_heads=4", "model.num_kv_heads=2"]
    words += ["model.head_dim=16", "model.ffn_size=128", "steps=220", *learning(0.006)]
    assert main(["pretrain", f"tokens={tokens}", *words, f"output={folder}"]) == 0
    return folder


def learning(rate: float) -> list[str]:
    return [
        f"learning_rate={rate}",
        "batch_size=8",
        "sequence_length=48",
        "threads=1",
        "tensorboard=false",
        "device=cpu",
    ]


def test_a_distilled_pruned_model_beats_the_pruned_one_and_one_from_scratch(teacher, tokens, tmp_path):
    sizes = ["num_layers=2", "hidden_size=48", "ffn_size=64", "num_kv_heads=1"]
    words = [f"model={teacher}", f"tokens={tokens}", "sequence_length=48", "threads=1", *sizes]
    assert main(["prune", *words, f"output={tmp_path / 'pruned'}"]) == 0
    assert load_model(tmp_path / "pruned").config.num_heads == 2
    steps = ["steps=60", *learning(0.004), f"tokens={tokens}"]
    student = [f"teacher={teacher}", f"continue_from={tmp_path / 'pruned'}", "temperature=1.0"]
    assert main(["distill", *steps, *student, f"output={tmp_path / 'distilled'}"]) == 0
    shape = ["num_layers=2", "hidden_size=48", "num_heads=2", "num_kv_heads=1", "head_dim=16", "ffn_size=64"]
    scratch = [f"model.{word}" for word in shape]
    assert main(["pretrain", *steps, *scratch, f"output={tmp_path / 'scratch'}"]) == 0
    stats = {
        name: json.loads((tmp_path / name / "manifest.json").read_text())["stats"] for name in ("distilled", "scratch")
    }
    pruned, distilled = stats["distilled"]["before"]["validation_loss"], stats["distilled"]["after"]["validation_loss"]
    assert distilled < stats["scratch"]["after"]["validation_loss"] - 0.05
    assert distilled < pruned - 0.3
    assert stats["distilled"]["parameters"] == stats["scratch"]["parameters"]


@pytest.mark.parametrize(
    ("command", "change", "message"),
    [
        ("prune", [], "nothing to prune: give at least one of num_layers, hidden_size, ffn_size, num_kv_heads"),
        ("prune", ["num_layers=9"], "num_layers=9 is more than the model's 3"),
        (
            "distill",
            ["hidden_weight=1"],
            "hidden_weight=1.0 compares hidden states, but the student's have 128 features",
        ),
        ("distill", ["teacher=absent"], "absent: no such folder"),
        ("distill", ["parallel.pipeline=2"], "parallel.pipeline=2: a teacher sees whole models and rows; distil with"),
    ],
)
def test_mistakes_are_named(command, change, message, teacher, tokens, tmp_path, capsys):
    model = "model" if command == "prune" else "teacher"
    assert main([command, f"{model}={teacher}", f"tokens={tokens}", f"output={tmp_path / 'x'}", *change]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
@pytest.mark.parametrize("weights", [{}, {"hidden_weight": 0.5, "layer_weight": 0.3, "attention_weight": 0.2}])
@pytest.mark.parametrize("degrees", [{}, {"fsdp": 2}, {"tensor": 2}, {"expert": 2}, {"fsdp": 2, "expert": 2}])
def test_two_processes_learn_from_a_teacher_what_one_learns(two, degrees, weights):
    changes = {"moe": MoEConfig(num_experts=4, top_k=2, ffn_size=12)} if "expert" in degrees else {}
    assert max(two(distilled_gradient, ParallelSettings(**degrees), changes, weights)) < 5e-7
