"""Experts shared out over processes have the loss, the gradients and the balance that they have in one process."""

import dataclasses
import itertools
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))

from parallel_cases import (
    TOLERANCE,
    check,
    learnt_model,
    ragged_batch,
    restored_difference,
    trained_state,
    worst_balanced_gradients,
)

from nemo_core.config import MLAConfig, MoEConfig
from nemo_core.parallel.settings import ParallelSettings
from nemo_core.train.world import ALONE

MIXTURE = MoEConfig(num_experts=4, top_k=2, ffn_size=12)
GROUPED = dataclasses.replace(
    MIXTURE, score="sigmoid", correction_bias=True, groups=2, shared_ffn_size=8, dense_layers=(0,)
)
SHARED = dataclasses.replace(MIXTURE, top_k=3, shared_ffn_size=8, shared_gate=True, normalize=False)
FAMILIES = {
    "mixtral": {"moe": MIXTURE},
    "qwen": {"moe": SHARED, "attention_bias": True},
    "deepseek": {
        "moe": GROUPED,
        "mla": MLAConfig(kv_rank=6, q_rank=5, plain_dim=4, rotary_dim=4, value_dim=6),
        "num_kv_heads": 4,
    },
}


FOLDER = {"family": "mixtral", "moe": MIXTURE, "ffn_size": MIXTURE.ffn_size}


def plan(**degrees) -> ParallelSettings:
    return ParallelSettings(**degrees)


PAIRS = {
    "data": plan(expert=2),
    "fsdp": plan(fsdp=2, expert=2),
    "context": plan(context=2, expert=2),
    "data, recomputing": plan(expert=2, recompute="selective"),
    "fsdp, recomputing": plan(fsdp=2, expert=2, recompute="full"),
}
FOURS = {
    "data": plan(expert=2),
    "data, four": plan(expert=4),
    "fsdp": plan(fsdp=4, expert=2),
    "data x fsdp": plan(fsdp=2, expert=2),
    "data x fsdp, four": plan(fsdp=2, expert=4),
    "fsdp x tensor": plan(fsdp=2, tensor=2, expert=2),
    "data x tensor": plan(tensor=2, expert=2),
    "fsdp x context": plan(fsdp=2, context=2, expert=2),
    "data x context": plan(context=2, expert=4),
    "pipeline": plan(pipeline=2, expert=2),
    "pipeline x fsdp": plan(pipeline=2, fsdp=2, expert=2),
    "pipeline, interleaved": plan(pipeline=2, expert=2, schedule="interleaved", stages_per_rank=2),
    "fsdp, recomputing": plan(fsdp=4, expert=2, recompute="full"),
}


@pytest.mark.parametrize("name", ["data", "fsdp"])
def test_two_processes_have_the_gradients_of_one(two, name):
    check(two, PAIRS[name], FAMILIES["mixtral"], (ragged_batch(5), 1))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", PAIRS)
def test_two_processes_have_the_gradients_of_one_in_every_family(two, name, family):
    check(two, PAIRS[name], FAMILIES[family], (ragged_batch(5, packed=True), 2), (ragged_batch(4), 0))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "family"), [*zip(FOURS, itertools.cycle(FAMILIES))])
def test_four_processes_have_the_gradients_of_one(four, name, family):
    check(four, FOURS[name], FAMILIES[family], (ragged_batch(5, packed=True), 1), (ragged_batch(4), 2))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen", "deepseek"])
@pytest.mark.parametrize("name", ["data", "fsdp"])
def test_the_balancing_loss_and_its_gradient_are_those_of_one_process(two, name, family):
    for found in two(worst_balanced_gradients, PAIRS[name], FAMILIES[family], ragged_batch(5, packed=True)):
        ours, theirs = found["balance"]
        assert ours == pytest.approx(theirs, rel=1e-5)
        assert found["gradient"] < TOLERANCE


SAVED = {"data": plan(expert=2), "fsdp": plan(fsdp=4, expert=2), "fsdp x tensor": plan(fsdp=2, tensor=2, expert=2)}
LOADED = {"expert": plan(expert=2), "fsdp": plan(fsdp=2), "tensor": plan(tensor=2)}


@pytest.mark.slow
@pytest.mark.parametrize(("saved", "loaded"), [*zip(SAVED, LOADED)])
def test_a_state_of_four_processes_is_taken_up_under_another_plan(four, two, tmp_path, saved, loaded):
    four(trained_state, SAVED[saved], str(tmp_path), 2, FOLDER)
    answers = two(restored_difference, LOADED[loaded], str(tmp_path), FOLDER)
    assert all(worst == 0.0 for worst, _, _ in answers)
    alone = restored_difference(ALONE, plan(), str(tmp_path), FOLDER)
    assert alone[0] == 0.0
    assert set().union(*(names for _, names, _ in answers)) == alone[1]
    assert all(loss == pytest.approx(alone[2], abs=TOLERANCE) for _, _, loss in answers)


@pytest.mark.slow
def test_a_state_of_one_process_is_taken_up_by_experts_in_two(two, tmp_path):
    trained_state(ALONE, plan(), str(tmp_path), 2, FOLDER)
    _, names, loss = restored_difference(ALONE, plan(), str(tmp_path), FOLDER)
    answers = two(restored_difference, PAIRS["fsdp"], str(tmp_path), FOLDER)
    assert all(worst == 0.0 and next_loss == pytest.approx(loss, abs=TOLERANCE) for worst, _, next_loss in answers)
    mine, yours = ({name for name in found if ".experts." in name} for _, found, _ in answers)
    assert not mine & yours
    assert mine | yours == {name for name in names if ".experts." in name}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("data", "adamw"), ("fsdp", "adafactor")])
def test_written_models_and_averages_are_those_of_one_process(two, tmp_path, name, kind):
    two(learnt_model, PAIRS[name], FOLDER, str(tmp_path / "two"), kind)
    learnt_model(ALONE, plan(), FOLDER, str(tmp_path / "one"), kind)
    for part in ("", "ema"):
        found, expected = (load_file(tmp_path / run / part / "model.safetensors") for run in ("two", "one"))
        assert list(found) == list(expected)
        assert any("experts.3.w2" in tensor for tensor in found)
        for tensor, values in expected.items():
            assert (found[tensor] - values).abs().max() < 2e-5, (part, tensor)
