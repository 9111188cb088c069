"""The optimizer of a Megatron checkpoint comes in number by number, and a run goes on with it as megatron.core does."""

import dataclasses
import json
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nemo_core.checkpoint.folder import load_config, load_model, save_model
from nemo_core.checkpoint.foreign.flattened import fits, put_together
from nemo_core.checkpoint.foreign.torch_dist import StoredTensor, write_torch_dist
from nemo_core.checkpoint.state import load_state
from nemo_core.checkpoint.state_names import StateNames
from nemo_core.cli import main
from nemo_core.model.decoder import Decoder

pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")
sys.path.insert(0, str(Path(__file__).parent / "workers"))

from cuda_on_cpu import cuda_on_cpu
from megatron_rehearsal import MOE, SHAPE, TIED, difference, learn, megatron_of, native_of

pytestmark = pytest.mark.filterwarnings("ignore")

OLDER = Path(__file__).parent / "samples/megatron-core-0.15.3-model-space.tar.gz"
EXPERTS = dataclasses.replace(MOE, ffn_size=24)


def converted(source: Path, target: Path, *words: str) -> tuple[dict[str, torch.Tensor], dict]:
    """The training state that convert writes, under canonical names."""
    assert main(["convert", f"model={source}", f"output={target}", "optimizer=true", *words]) == 0
    return load_state(target / "state", names=StateNames(load_config(target)))


def test_moments_stored_flat_by_an_older_megatron_are_those_it_had_in_memory(tmp_path):
    """Written by megatron.core 0.15.3: two tensor-parallel ranks of bfloat16 weights, two copies of each.

    The copies share out float32 weights and moments in the middle of a weight. What each had in memory lies beside.
    """
    with tarfile.open(OLDER) as tar:
        tar.extractall(tmp_path, filter="data")
    expected = load_file(tmp_path / "expected.safetensors")
    found, facts = converted(tmp_path / "run", tmp_path / "hf")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert facts["step"] == 3


def save_megatron(shared, folder: Path, sharding: str) -> None:
    """Weights and optimizer as Megatron-LM saves them."""
    from megatron.core import dist_checkpointing, parallel_state

    from nemo_core.megatron.distributed_checkpoint import CpuSaveStrategy

    about = {
        "distrib_optim_sharding_type": sharding,
        "chained_optim_avoid_prefix": True,
        "dp_cp_group": parallel_state.get_data_parallel_group(with_context_parallel=True),
    }
    model = shared.model.last.gpt.sharded_state_dict(metadata=about)
    optimizer = shared.own_optimizer.inner.sharded_state_dict(model, metadata=about)
    folder.mkdir()
    content = {"model": model, "optimizer": optimizer, "iteration": 2}
    dist_checkpointing.save(content, str(folder), sharded_strategy=CpuSaveStrategy("torch_dist", 1))


@pytest.mark.parametrize(("config", "family"), [(SHAPE, "llama"), (TIED, "qwen3"), (EXPERTS, "mixtral")])
def test_a_step_behind_a_converted_checkpoint_is_megatrons_own_next_step(tmp_path, config, family):
    from nemo_core.megatron.parallel import process_groups
    from nemo_core.parallel.settings import ParallelSettings

    with cuda_on_cpu(), process_groups():
        shared, optimizer = megatron_of(config, ParallelSettings(), seed=0)
        for step in range(2):
            learn(shared, optimizer, step)
        save_megatron(shared, tmp_path / "it", "fully_reshardable")
        live = {name: tensor.clone() for name, tensor in shared.state(optimizer).items()}
        save_model(Decoder(dataclasses.replace(config, family=family), seed=0), tmp_path / "shape")
        found, facts = converted(tmp_path / "it", tmp_path / "hf", f"config={tmp_path / 'shape'}")
        assert facts["step"] == 2
        assert found.keys() == live.keys()
        assert all(torch.equal(found[name], live[name]) for name in live)
        theirs = learn(shared, optimizer, 2)
        weights = shared.whole()
    native, native_optimizer = native_of(config)
    native.restore(found, native_optimizer)
    assert learn(native, native_optimizer, 2) == pytest.approx(theirs, rel=1e-5)
    assert difference(weights, native.model) <= 1e-5
    fresh, fresh_optimizer = native_of(config)
    fresh.model.load_state_dict(load_model(tmp_path / "hf").state_dict())
    learn(fresh, fresh_optimizer, 2)
    assert difference(weights, fresh.model) > 1e-3  # the moments matter


@pytest.mark.parametrize("sharding", ["dp_reshardable", "dp_zero_gather_scatter"])
def test_flat_buffers_of_ranks_are_refused_with_what_to_do(tmp_path, capsys, sharding):
    from nemo_core.megatron.parallel import process_groups
    from nemo_core.parallel.settings import ParallelSettings

    with cuda_on_cpu(), process_groups():
        shared, optimizer = megatron_of(SHAPE, ParallelSettings(), seed=0)
        learn(shared, optimizer, 0)
        save_megatron(shared, tmp_path / "it", sharding)
    save_model(Decoder(SHAPE, seed=0), tmp_path / "shape")
    words = ["convert", f"model={tmp_path / 'it'}", f"config={tmp_path / 'shape'}", f"output={tmp_path / 'hf'}"]
    assert main([*words, "optimizer=true"]) == 2
    error = capsys.readouterr().err
    assert f"the optimizer's state is in the format {sharding}, the flat buffers of ranks" in error
    assert "--dist-ckpt-optim-fully-reshardable" in error
    assert not (tmp_path / "hf").exists()
    assert main(words) == 0  # the weights alone


def test_a_shard_stored_flat_goes_where_it_was():
    whole = torch.arange(2 * 6 * 8.0).view(2, 6, 8)
    flat = torch.stack(
        [torch.stack([part.flatten() for part in rows.chunk(2, 1)]) for rows in whole[1].chunk(3, 0)]
    )  # [3, 2, 8]: three parts of the rows, two of the columns
    assert torch.equal(put_together(flat, (6, 8)), whole[1])
    assert fits((2, 3, 2, 8), (2, 6, 8), stacked=1)
    assert not fits((1, 3, 2, 16), (2, 6, 8), stacked=1)  # two layers in one row of numbers
    assert not fits((2, 4, 2, 6), (2, 6, 8), stacked=1)
    assert not fits((2, 3, 2, 7), (2, 6, 8), stacked=1)


@pytest.fixture
def plain_run(tmp_path):
    """A checkpoint with the optimizer's tensors of every weight, written as megatron.core's plain optimizer does."""
    from nemo_core.checkpoint.foreign.stacked import stacked_tensors

    model = Decoder(SHAPE, seed=0)
    save_model(model, tmp_path / "shape")
    weights = dict(model.named_parameters())
    stored = list(stacked_tensors(SHAPE, weights.__getitem__))
    moments = [
        dataclasses.replace(one, key=f"chained_0.optimizer.state.{kind}.module.{one.key}", tensor=one.tensor * scale)
        for kind, scale in (("exp_avg", 0.5), ("exp_avg_sq", 0.25))
        for one in stored
    ]

    def write(*, without: str = "", common: dict | None = None, extra: tuple[StoredTensor, ...] = ()) -> Path:
        kept = [one for one in (*stored, *moments, *extra) if one.key != without]
        steps = {"optimizer": [{"optimizer": {"state": {"common_step": torch.tensor(7)}}}], "iteration": 9}
        write_torch_dist(tmp_path / "it", kept, common=steps if common is None else common)
        return tmp_path / "it"

    return write


def test_weights_are_the_main_ones_where_there_are_no_others(tmp_path, plain_run):
    found, facts = converted(plain_run(), tmp_path / "hf", f"config={tmp_path / 'shape'}")
    weights = dict(Decoder(SHAPE, seed=0).named_parameters())
    assert facts["step"] == 9
    for name, weight in weights.items():
        assert torch.equal(found[name], weight)
        assert torch.equal(found[f"optim.{name}.exp_avg"], weight * 0.5)
        assert torch.equal(found[f"optim.{name}.exp_avg_sq"], weight * 0.25)
        assert found[f"optim.{name}.step"] == 7


FC1 = "chained_0.optimizer.state.exp_avg.module.decoder.layers.mlp.linear_fc1.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"without": FC1},
            "lacks 4 tensor(s) that the config asks for, first 'decoder.layers.0.mlp.linear_fc1.weight'",
        ),
        ({"common": {"iteration": 3}}, "its optimizer names no number of steps"),
        ({"common": {"optimizer": {"a": {"step": 3}, "b": {"step": 4}}}}, "its optimizer names steps [3, 4], which"),
    ],
)
def test_what_is_missing_of_an_optimizer_is_named(tmp_path, plain_run, capsys, change, message):
    words = [f"model={plain_run(**change)}", f"config={tmp_path / 'shape'}", f"output={tmp_path / 'hf'}"]
    assert main(["convert", *words, "optimizer=true"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "hf").exists()


def test_an_optimizer_is_only_taken_from_and_to_where_it_has_a_place(tmp_path, plain_run, capsys):
    shape, target = tmp_path / "shape", tmp_path / "out"
    assert main(["convert", f"model={shape}", f"output={target}", "optimizer=true"]) == 2
    assert f"optimizer=true: {shape} is no checkpoint of Megatron or NeMo" in capsys.readouterr().err
    words = [f"model={plain_run()}", f"config={shape}", f"output={target}", "optimizer=true", "format=megatron"]
    assert main(["convert", *words]) == 2
    assert "optimizer=true with format=megatron: only format=hf has a place" in capsys.readouterr().err


def test_a_conversion_in_many_files_is_the_same_state(tmp_path, plain_run, monkeypatch):
    monkeypatch.setattr("nemo_core.checkpoint.foreign.moments.PART_BYTES", 1 << 14)
    found, _ = converted(plain_run(), tmp_path / "hf", f"config={tmp_path / 'shape'}")
    index = json.loads((tmp_path / "hf/state/step-000009/index.json").read_text())
    assert len(index["files"]) > 3
    weights = dict(Decoder(SHAPE, seed=0).named_parameters())
    assert all(torch.equal(found[f"optim.{name}.exp_avg"], weight * 0.5) for name, weight in weights.items())
