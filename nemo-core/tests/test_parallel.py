"""However a model is laid out over processes, it has the loss and the gradients that one process has."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from parallel_cases import (
    SHAPE,
    Workers,
    half_precision_loss,
    ragged_batch,
    restored_difference,
    trained_state,
    worst_gradient,
)

from nemo_core.checkpoint.state_step import SavedState
from nemo_core.config import MoEConfig, NormConfig, RopeConfig
from nemo_core.parallel.settings import ParallelSettings
from nemo_core.train.world import ALONE

PLAIN, TIED = {}, {"tied_embeddings": True}
BIASED = {"attention_bias": True, "mlp_bias": True}
TOLERANCE = 1e-6


def plan(**degrees) -> ParallelSettings:
    return ParallelSettings(**degrees)


@pytest.fixture(scope="module")
def two():
    workers = Workers(2)
    yield workers
    workers.close()


@pytest.fixture(scope="module")
def four():
    workers = Workers(4)
    yield workers
    workers.close()


def check(workers, settings, changes, batch, micro_rows):
    for rank, found in enumerate(workers(worst_gradient, settings, changes, batch, micro_rows)):
        assert abs(found["loss"]) < TOLERANCE, (rank, found)
        assert abs(found["norm"]) < TOLERANCE, (rank, found)
        assert found["gradient"] < TOLERANCE, (rank, found)


PAIRS = {
    "data": plan(),
    "data in small buckets": plan(bucket_mib=0.001),
    "fsdp": plan(fsdp=2),
    "tensor": plan(tensor=2),
    "context": plan(context=2),
    "pipeline": plan(pipeline=2),
    "gpipe": plan(pipeline=2, schedule="gpipe"),
    "interleaved": plan(pipeline=2, schedule="interleaved", stages_per_rank=2),
    "fsdp, recomputing all": plan(fsdp=2, recompute="full"),
    "tensor, recomputing some": plan(tensor=2, recompute="selective"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_two_processes_have_the_gradients_of_one(two, name):
    check(two, PAIRS[name], TIED, ragged_batch(5), 1)


@pytest.mark.slow
@pytest.mark.parametrize("micro_rows", [0, 1, 2])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("changes", [PLAIN, TIED, BIASED], ids=["plain", "tied", "biased"])
@pytest.mark.parametrize("name", PAIRS)
def test_two_processes_have_the_gradients_of_one_however_rows_are_split(two, name, changes, packed, micro_rows):
    check(two, PAIRS[name], changes, ragged_batch(6, packed=packed), micro_rows)


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
}


@pytest.mark.slow
@pytest.mark.parametrize("micro_rows", [0, 1])
@pytest.mark.parametrize("changes", [PLAIN, TIED], ids=["plain", "tied"])
@pytest.mark.parametrize("name", FOURS)
def test_four_processes_have_the_gradients_of_one(four, name, changes, micro_rows):
    check(four, FOURS[name], changes, ragged_batch(5, packed=True), micro_rows)
    check(four, FOURS[name], changes, ragged_batch(3), micro_rows)


@pytest.mark.slow
@pytest.mark.parametrize("loaded", ["fsdp", "tensor", "pipeline", "data"])
@pytest.mark.parametrize("saved", ["fsdp x tensor", "fsdp", "data x pipeline", "data x fsdp"])
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
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fsdp", "tensor", "context", "pipeline", "interleaved"])
@pytest.mark.parametrize("family", FAMILIES)
def test_families_have_the_gradients_of_one_process(two, family, name):
    if (family, name) == ("mixtral", "tensor"):
        pytest.skip("experts are not split by tensors; the plan refuses it by name")
    check(two, PAIRS[name], FAMILIES[family], ragged_batch(5, packed=True), 2)
    check(two, PAIRS[name], FAMILIES[family], ragged_batch(4), 2)


def test_layers_gathered_in_bfloat16_keep_weights_and_gradients_in_float32(two):
    for loss, reference, formats in two(half_precision_loss, plan(fsdp=2)):
        assert loss != reference
        assert loss == pytest.approx(reference, abs=0.02)
        assert formats == {torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [{}, {"recompute": "full"}], ids=["plain", "recomputing"])
def test_compiled_layers_have_the_same_gradients(degrees):
    found = worst_gradient(ALONE, plan(compile=True, **degrees), PLAIN, ragged_batch(4), 0)
    assert found["gradient"] < TOLERANCE, found
    assert abs(found["loss"]) < TOLERANCE
