"""However a model is laid out over processes, it has the loss and the gradients that one process has."""

import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.utils import counters

sys.path.insert(0, str(Path(__file__).parent))

from laid_out_cases import adapted_gradient, continued, low_rank, recomputed
from parallel_cases import (
    SHAPE,
    TOLERANCE,
    check,
    half_precision_loss,
    learnt_model,
    measured_loss,
    ragged_batch,
    restored_difference,
    trained_state,
    whole_matrix_steps,
    worst_gradients,
)

from nemo_core.checkpoint.state_step import SavedState
from nemo_core.config import MLAConfig, MoEConfig, NormConfig, RopeConfig
from nemo_core.parallel.settings import ParallelSettings
from nemo_core.train.world import ALONE

PLAIN, TIED = {}, {"tied_embeddings": True}
BIASED = {"attention_bias": True, "mlp_bias": True}


def plan(**degrees) -> ParallelSettings:
    return ParallelSettings(**degrees)


PAIRS = {
    "data": plan(),
    "data in small buckets": plan(bucket_mib=0.001),
    "fsdp": plan(fsdp=2),
    "tensor": plan(tensor=2),
    "context": plan(context=2),
    "pipeline": plan(pipeline=2),
    "gpipe": plan(pipeline=2, schedule="gpipe"),
    "interleaved": plan(pipeline=2, schedule="interleaved", stages_per_rank=2),
}


@pytest.mark.parametrize("name", PAIRS)
def test_two_processes_have_the_gradients_of_one(two, name):
    check(two, PAIRS[name], TIED, (ragged_batch(5), 1))


@pytest.mark.slow
@pytest.mark.parametrize("changes", [PLAIN, TIED, BIASED], ids=["plain", "tied", "biased"])
@pytest.mark.parametrize("name", PAIRS)
def test_two_processes_have_the_gradients_of_one_however_rows_are_split(two, name, changes):
    batches = [ragged_batch(6, packed=packed) for packed in (False, True)]
    check(two, PAIRS[name], changes, *((batch, micro_rows) for batch in batches for micro_rows in (0, 1, 2)))


@pytest.mark.slow
@pytest.mark.parametrize("recompute", ["full", "selective"])
@pytest.mark.parametrize("name", ["data", "fsdp", "tensor", "context", "pipeline", "interleaved"])
def test_activations_computed_again_give_the_same_gradients_in_every_layout(two, name, recompute):
    settings = dataclasses.replace(PAIRS[name], recompute=recompute)
    check(two, settings, TIED, (ragged_batch(5, packed=True), 1), (ragged_batch(4), 2))


FOURS = {
    "data": plan(),
    "fsdp": plan(fsdp=4),
    "data x fsdp": plan(fsdp=2),
    "data x fsdp, weights kept": plan(fsdp=2, reshard=False),
    "fsdp x tensor": plan(fsdp=2, tensor=2),
    "data x tensor": plan(tensor=2),
    "fsdp x context": plan(fsdp=2, context=2),
    "context x tensor": plan(context=2, tensor=2),
    "data x pipeline": plan(pipeline=2),
    "pipeline": plan(pipeline=4),
    "pipeline x fsdp": plan(pipeline=2, fsdp=2),
    "pipeline x fsdp, interleaved": plan(pipeline=2, fsdp=2, schedule="interleaved", stages_per_rank=2),
    "pipeline x fsdp, weights kept": plan(pipeline=2, fsdp=2, schedule="gpipe", reshard=False),
    "pipeline x tensor": plan(pipeline=2, tensor=2),
    "pipeline x context": plan(pipeline=2, context=2),
    "tensor, key heads shared": plan(tensor=4),
    "fsdp x tensor, recomputing": plan(fsdp=2, tensor=2, recompute="selective"),
    "context x tensor, recomputing": plan(context=2, tensor=2, recompute="full"),
    "pipeline x fsdp, recomputing": plan(pipeline=2, fsdp=2, recompute="full"),
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", [PLAIN, TIED], ids=["plain", "tied"])
@pytest.mark.parametrize("name", FOURS)
def test_four_processes_have_the_gradients_of_one(four, name, changes):
    batches = [ragged_batch(5, packed=True), ragged_batch(3)]
    check(four, FOURS[name], changes, *((batch, micro_rows) for batch in batches for micro_rows in (0, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("loaded", ["fsdp", "tensor", "pipeline", "data"])
@pytest.mark.parametrize("saved", ["fsdp x tensor", "data x pipeline", "pipeline x fsdp"])
def test_a_state_of_four_processes_is_taken_up_by_two_under_another_plan(four, two, tmp_path, saved, loaded):
    four(trained_state, FOURS[saved], str(tmp_path), 2, TIED)
    answers = two(restored_difference, PAIRS[loaded], str(tmp_path), TIED)
    assert all(worst == 0.0 for worst, _, _ in answers)
    alone = restored_difference(ALONE, plan(), str(tmp_path), TIED)
    assert alone[0] == 0.0
    assert set().union(*(names for _, names, _ in answers)) == alone[1]
    assert all(loss == pytest.approx(alone[2], abs=TOLERANCE) for _, _, loss in answers)


def test_a_state_of_two_processes_is_taken_up_by_one_and_the_other_way_round(two, tmp_path):
    two(trained_state, plan(fsdp=2), str(tmp_path / "two"), 2, PLAIN)
    worst, names, loss = restored_difference(ALONE, plan(), str(tmp_path / "two"), PLAIN)
    assert worst == 0.0
    assert "optim.model.layers.3.mlp.down_proj.weight.exp_avg_sq" in names
    trained_state(ALONE, plan(), str(tmp_path / "one"), 2, PLAIN)
    for found, _, next_loss in two(restored_difference, plan(tensor=2), str(tmp_path / "one"), PLAIN):
        assert found == 0.0
        assert next_loss == pytest.approx(loss, abs=TOLERANCE)


def test_two_processes_write_every_number_once(two, tmp_path):
    two(trained_state, plan(fsdp=2), str(tmp_path / "two"), 2, PLAIN)
    trained_state(ALONE, plan(), str(tmp_path / "one"), 2, PLAIN)
    one, both = SavedState(tmp_path / "one/step-000002"), SavedState(tmp_path / "two/step-000002")
    assert {n for n in one if not n.startswith("rng.")} == {n for n in both if not n.startswith("rng.")}
    for name in one:
        if not name.startswith("rng."):
            torch.testing.assert_close(one[name], both[name], atol=1e-6, rtol=1e-4)
    numbers = sum(block.numel() for block in (both[name] for name in both if name.startswith("model.")))
    assert numbers == SHAPE.num_parameters - SHAPE.vocab_size * SHAPE.hidden_size  # the head is not under model.
    sizes = [entry.bytes for entry in both.files.values()]
    assert max(sizes) < 1.2 * min(sizes)


def test_torchs_own_reader_takes_the_state(two, tmp_path):
    import torch.distributed.checkpoint as dcp

    two(trained_state, plan(fsdp=2), str(tmp_path), 2, PLAIN)
    state = SavedState(tmp_path / "step-000002")
    name = "optim.model.layers.0.mlp.up_proj.weight.exp_avg"
    wanted = {name: torch.empty(state.describe(name).shape)}
    dcp.load(wanted, storage_reader=dcp.HuggingFaceStorageReader(str(tmp_path / "step-000002")), no_dist=True)
    assert torch.equal(wanted[name], state[name])


MIXTURE = MoEConfig(num_experts=4, top_k=2, ffn_size=12)
GROUPED = MoEConfig(
    num_experts=4,
    top_k=2,
    ffn_size=12,
    score="sigmoid",
    correction_bias=True,
    groups=2,
    shared_ffn_size=8,
    dense_layers=(0,),
)
LATENT = MLAConfig(kv_rank=6, q_rank=5, plain_dim=4, rotary_dim=4, value_dim=6)
FAMILIES = {
    "gemma3": {
        "qk_norm": "head",
        "window": 5,
        "layer_kinds": ("sliding", "full", "sliding", "sliding"),
        "local_rope": RopeConfig(theta=100.0),
        "norm": NormConfig(zero_centered=True, placement="sandwich"),
        "embedding_scale": 4.0,
        "activation": "gelu_tanh",
        "tied_embeddings": True,
    },
    "gemma2": {"attention_softcap": 5.0, "logit_softcap": 3.0, "window": 5},
    "gpt2": {"rope": None, "norm": NormConfig(kind="layer", bias=True), "gated_mlp": False, "activation": "gelu_tanh"},
    "neox": {"residual": "parallel", "norm": NormConfig(kind="layer", bias=True)},
    "mixtral": {"moe": MIXTURE},
    "olmo2": {"qk_norm": "projection", "norm": NormConfig(placement="post")},
    "deepseek": {"mla": LATENT, "num_kv_heads": 4, "moe": GROUPED},
    "deepseek, queries projected directly": {"mla": dataclasses.replace(LATENT, q_rank=None), "num_kv_heads": 4},
    "one key head": {"num_kv_heads": 1, "qk_norm": "head", "attention_bias": True},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fsdp", "tensor", "context", "pipeline", "interleaved"])
@pytest.mark.parametrize("family", FAMILIES)
def test_families_have_the_gradients_of_one_process(two, family, name):
    check(two, PAIRS[name], FAMILIES[family], (ragged_batch(5, packed=True), 2), (ragged_batch(4), 2))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fsdp x tensor", "context x tensor", "pipeline x tensor", "pipeline x fsdp"])
@pytest.mark.parametrize("family", ["deepseek", "one key head"])
def test_families_have_the_gradients_of_one_process_in_combined_layouts(four, family, name):
    check(four, FOURS[name], FAMILIES[family], (ragged_batch(5, packed=True), 2))


ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LATENT_LINEAR = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "down_proj")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["plain", "one key head", "mixtral", "deepseek"])
def test_low_rank_additions_to_split_matrices_have_the_gradients_of_one_process(two, family):
    changes = {"plain": BIASED, **FAMILIES}[family]
    targets = LATENT_LINEAR if family == "deepseek" else ALL_LINEAR
    assert max(two(adapted_gradient, plan(tensor=2), low_rank(changes, targets), ragged_batch(5, packed=True))) < 3e-6


@pytest.mark.slow
@pytest.mark.parametrize("family", ["plain", "one key head", "mixtral", "deepseek"])
def test_learnt_lengths_of_split_matrices_have_the_gradients_of_one_process(two, family):
    changes = {"plain": BIASED, **FAMILIES}[family]
    targets = LATENT_LINEAR if family == "deepseek" else ALL_LINEAR
    assert (
        max(two(adapted_gradient, plan(tensor=2), low_rank(changes, targets, "dora"), ragged_batch(5, packed=True)))
        < 3e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data", "fsdp", "context", "pipeline"])
def test_low_rank_additions_have_the_gradients_of_one_process_in_every_layout(two, name):
    assert max(two(adapted_gradient, PAIRS[name], low_rank(PLAIN, ALL_LINEAR), ragged_batch(5, packed=True))) < 3e-6


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "dora"])
@pytest.mark.parametrize("name", ["fsdp x tensor", "pipeline x tensor", "pipeline x fsdp"])
def test_low_rank_additions_have_the_gradients_of_one_process_in_combined_layouts(four, name, method):
    assert max(four(adapted_gradient, FOURS[name], low_rank(PLAIN, ALL_LINEAR, method), ragged_batch(5))) < 3e-6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["muon", "adafactor"])
def test_optimizers_of_whole_matrices_give_the_very_numbers_where_those_are_cut(two, kind):
    for placements in ((0, 1, 0, 1, None), (1, 0, None, 0, None)):
        assert all(two(whole_matrix_steps, kind, placements))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["muon", "adafactor"])
@pytest.mark.parametrize(("saved", "loaded"), [("fsdp", "tensor"), ("tensor", "fsdp"), ("pipeline", "fsdp")])
def test_states_of_optimizers_of_whole_matrices_are_taken_up_under_another_plan(two, tmp_path, saved, loaded, kind):
    two(trained_state, PAIRS[saved], str(tmp_path), 2, TIED, kind)
    alone = restored_difference(ALONE, plan(), str(tmp_path), TIED, kind)
    answers = two(restored_difference, PAIRS[loaded], str(tmp_path), TIED, kind)
    assert [worst for worst, *_ in (alone, *answers)] == [0.0] * 3
    assert set().union(*(names for _, names, _ in answers)) == alone[1]
    assert any(name.endswith({"muon": "momentum_buffer", "adafactor": "row_var"}[kind]) for name in alone[1])
    assert all(loss == pytest.approx(alone[2], abs=1e-5) for *_, loss in answers)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["muon", "adafactor"])
def test_states_of_optimizers_of_whole_matrices_go_from_one_process_to_four(four, tmp_path, kind):
    trained_state(ALONE, plan(), str(tmp_path), 2, PLAIN, kind)
    alone = restored_difference(ALONE, plan(), str(tmp_path), PLAIN, kind)
    for worst, names, loss in four(restored_difference, FOURS["fsdp x tensor"], str(tmp_path), PLAIN, kind):
        assert worst == 0.0
        assert names == alone[1]
        assert loss == pytest.approx(alone[2], abs=1e-5)


def check_same_models(found: Path, expected: Path) -> None:
    """The models in two folders, and their averages in ema/, are the same."""
    for folder in ("", "ema"):
        ours, theirs = (load_file(root / folder / "model.safetensors") for root in (found, expected))
        assert list(ours) == list(theirs)
        assert (found / folder / "config.json").read_bytes() == (expected / folder / "config.json").read_bytes()
        for name, tensor in theirs.items():
            apart = (ours[name] - tensor).abs()
            assert apart.max() < 2e-5, (folder, name)
            assert apart.mean() < 1e-6, (folder, name)
    assert not torch.equal(load_file(found / "model.safetensors")["model.norm.weight"], ours["model.norm.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adamw", "adafactor"])  # Muon makes steps of what is only rounding in a gradient
@pytest.mark.parametrize("name", ["fsdp", "tensor", "pipeline"])
def test_weights_and_their_average_are_those_of_one_process(two, tmp_path, name, kind):
    changes = TIED | {"num_kv_heads": 1}
    two(learnt_model, PAIRS[name], changes, str(tmp_path / "two"), kind)
    learnt_model(ALONE, plan(), changes, str(tmp_path / "one"), kind)
    check_same_models(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fsdp x tensor", "pipeline x fsdp", "pipeline x tensor", "data x pipeline"])
def test_weights_and_their_average_are_those_of_one_process_in_combined_layouts(four, tmp_path, name):
    changes = {"family": "mixtral", "moe": MIXTURE, "ffn_size": MIXTURE.ffn_size}
    four(learnt_model, FOURS[name], changes, str(tmp_path / "four"))
    learnt_model(ALONE, plan(), changes, str(tmp_path / "one"))
    check_same_models(tmp_path / "four", tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fsdp x tensor", "pipeline x fsdp", "pipeline x tensor", "pipeline x context"])
def test_held_out_loss_is_that_of_one_process_in_combined_layouts(four, name):
    batches = [ragged_batch(4, packed=True), ragged_batch(3)]
    alone = measured_loss(ALONE, plan(), TIED, batches)
    assert four(measured_loss, FOURS[name], TIED, batches) == pytest.approx([alone] * 4, abs=1e-5)


GOING_ON = [
    ("fsdp", "plain"),
    ("tensor", "one key head"),
    ("context", "plain"),
    ("pipeline", "gemma2"),
    ("interleaved", "gemma3"),
    ("pipeline", "gpt2"),
    ("tensor", "deepseek"),
    ("expert", "mixtral"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "family"), GOING_ON)
def test_answers_of_all_processes_with_kept_keys_are_those_of_one_that_reads_anew(two, name, family):
    changes = {"plain": {}, **FAMILIES}[family]
    settings = {**PAIRS, "expert": plan(expert=2)}[name]
    free = recomputed(changes, stop=-1, most=12)
    stop = free[0][5]
    expected = recomputed(changes, stop=stop, most=12)
    assert len({token for said in free for token in said}) > 3
    assert len(expected[0]) < 12
    assert two(continued, settings, changes, stop, 12) == [expected] * 2


def test_layers_gathered_in_bfloat16_keep_weights_and_gradients_in_float32(two):
    for loss, reference, formats in two(half_precision_loss, plan(fsdp=2)):
        assert loss != reference
        assert loss == pytest.approx(reference, abs=0.02)
        assert formats == {torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pipeline x fsdp", "data x pipeline"])
def test_a_pipeline_in_bfloat16_keeps_weights_and_gradients_in_float32(four, name):
    for loss, reference, formats in four(half_precision_loss, FOURS[name]):
        assert loss != reference
        assert loss == pytest.approx(reference, abs=0.02)
        assert formats == {torch.float32}


COMPILED = {
    "plain": ({}, PLAIN),
    "recomputing": ({"recompute": "full"}, PLAIN),
    "recomputing in part": ({"recompute": "selective"}, PLAIN),
    "experts": ({}, {"moe": MIXTURE}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_layers_have_the_same_gradients_and_are_compiled(name):
    degrees, changes = COMPILED[name]
    one_layer = {**changes, "num_layers": 1}
    torch._dynamo.reset()
    counters.clear()
    (found,) = worst_gradients(ALONE, plan(compile=True, **degrees), one_layer, [(ragged_batch(4, packed=True), 0)])
    assert found["gradient"] < TOLERANCE, found
    assert abs(found["loss"]) < TOLERANCE
    assert counters["stats"]["unique_graphs"] >= 1
    assert name == "experts" or not counters["graph_break"]


@pytest.mark.slow
def test_compiled_layers_with_low_rank_additions_have_the_same_gradients():
    adapted = low_rank({"num_layers": 1}, ALL_LINEAR)
    assert adapted_gradient(ALONE, plan(compile=True), adapted, ragged_batch(4, packed=True)) < 3e-6
