"""Files of ranks whose experts are shared out, and of interleaved stages, come in bit for bit."""

import dataclasses
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nemo_core.checkpoint.folder import load_model, save_model
from nemo_core.cli import main
from nemo_core.config import ModelConfig, MoEConfig
from nemo_core.megatron.mapping import EXPERTS, LAYER, entries
from nemo_core.model.decoder import Decoder

MOE = ModelConfig(
    family="qwen2_moe",
    vocab_size=61,
    hidden_size=32,
    num_layers=4,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    ffn_size=40,
    max_positions=64,
    attention_bias=True,
    moe=MoEConfig(
        num_experts=4, top_k=2, ffn_size=24, normalize=False, shared_ffn_size=16, shared_gate=True, dense_layers=(1,)
    ),
)
State = Mapping[str, Tensor]


def one_by_one(name: str, number: int) -> str:
    """The name that ``SequentialMLP`` gives an expert's tensor."""
    return name.replace(EXPERTS, f"mlp.experts.local_experts.{number}.")


def side_by_side(name: str, number: int) -> str:
    """The name that ``TEGroupedMLP`` gives it."""
    return f"{name.replace(EXPERTS, 'mlp.experts.')}{number}"


@dataclasses.dataclass(frozen=True)
class Layout:
    """Degrees of a run, and how it names experts."""

    tensor: int = 1
    stages: int = 1
    experts: int = 1
    name: Callable[[str, int], str] = one_by_one


def rank_state(model: Decoder, layout: Layout, *, rank: int, stage: int, expert: int) -> dict[str, Tensor]:
    """What one rank holds, layers and experts counted from 0."""
    config, weights = model.config, model.state_dict()
    per_stage = config.num_layers // layout.stages
    layers = range(stage * per_stage, (stage + 1) * per_stage)
    local = 4 // layout.experts
    state = {}
    for entry in entries(config, vocabulary=64):
        is_end = layers.start == 0 if entry.name.startswith("embedding") else layers.stop == config.num_layers
        if entry.layer not in layers if entry.layer is not None else not is_end:
            continue
        if entry.expert is not None and entry.expert // local != expert:
            continue
        name = entry.name if entry.expert is None else layout.name(entry.name, entry.expert % local)
        whole = entry.join.join([weights[part] for part in entry.parts])
        place = "" if entry.layer is None else f"{LAYER}{entry.layer - layers.start}."
        state[place + name] = entry.join.shard(whole, rank=rank, size=layout.tensor).clone()
    if layers.stop == config.num_layers and config.tied_embeddings and layout.stages > 1:
        whole = torch.nn.functional.pad(weights["model.embed_tokens.weight"], (0, 0, 0, 3))
        state["output_layer.weight"] = whole.tensor_split(layout.tensor)[rank].clone()
    return state


def folder_name(layout: Layout, rank: int, stage: int, expert: int) -> str:
    """As Megatron-LM names the folder of a rank."""
    name = f"mp_rank_{rank:02d}"
    name += f"_{stage:03d}" if layout.stages > 1 else ""
    return name + (f"_{expert:03d}" if layout.experts > 1 else "")


def places(layout: Layout) -> list[tuple[int, int, int]]:
    return [
        (rank, stage, expert)
        for rank in range(layout.tensor)
        for stage in range(layout.stages)
        for expert in range(layout.experts)
    ]


def write_run(run: Path, model: Decoder, layout: Layout) -> Path:
    """A run's last iteration, one file for each rank, and the shape of the model."""
    for rank, stage, expert in places(layout):
        folder = run / "iter_0000007" / folder_name(layout, rank, stage, expert)
        folder.mkdir(parents=True)
        state = rank_state(model, layout, rank=rank, stage=stage, expert=expert)
        torch.save({"iteration": 7, "model": state}, folder / "model_optim_rng.pt")
    (run / "latest_checkpointed_iteration.txt").write_text("7")
    save_model(model, run.parent / "shape")
    return run


def converted(run: Path) -> Decoder:
    target = run.parent / "hf"
    words = [f"model={run}", f"output={target}", f"config={run.parent / 'shape'}"]
    assert main(["convert", *words]) == 0
    return load_model(target)


def assert_same(found: Decoder, expected: Decoder) -> None:
    theirs = expected.state_dict()
    assert found.state_dict().keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in found.state_dict().items())


@pytest.mark.parametrize(
    "layout",
    [
        Layout(),
        Layout(experts=2),
        Layout(experts=4, name=side_by_side),
        Layout(tensor=2, experts=2, name=side_by_side),
        Layout(stages=2, experts=2),
        Layout(tensor=2, stages=2, experts=2),
        Layout(stages=2),
    ],
    ids=str,
)
def test_experts_of_all_ranks_come_in(tmp_path, layout):
    model = Decoder(MOE, seed=0)
    assert_same(converted(write_run(tmp_path / "run", model, layout)), model)


def test_a_live_model_of_megatron_is_read_from_its_own_state(tmp_path):
    pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")
    from nemo_core.megatron.model import MegatronDecoder
    from nemo_core.megatron.parallel import process_groups
    from nemo_core.megatron.weights import load_weights

    native = Decoder(MOE, seed=0)
    save_model(native, tmp_path / "shape")
    with process_groups():
        model = MegatronDecoder(MOE)
        load_weights(model, native.state_dict().__getitem__)
        folder = tmp_path / "run/mp_rank_00"
        folder.mkdir(parents=True)
        torch.save({"model": model.gpt.state_dict()}, folder / "model_optim_rng.pt")
    assert_same(converted(tmp_path / "run"), native)


def joined(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Experts in the two tensors of ``GroupedMLP``, as its forward pass looks at them.

    There the first is viewed as [experts, hidden, width] and the second as [experts, width, hidden], to be multiplied
    from the right.
    """
    kept = {name: tensor for name, tensor in state.items() if "local_experts" not in name}
    layers = sorted({name.partition(".mlp.")[0] for name in state if "local_experts" in name})
    for layer in layers:
        own = {name: tensor for name, tensor in state.items() if name.startswith(f"{layer}.mlp.experts.local_experts.")}
        for number, shape in ((1, (32, -1)), (2, (-1, 32))):
            names = sorted(name for name in own if f"linear_fc{number}." in name)
            stacked = torch.stack([own[name].T for name in names])
            kept[f"{layer}.mlp.experts.weight{number}"] = stacked.reshape(shape)
    return kept


@pytest.mark.parametrize("experts", [1, 2])
def test_experts_that_are_multiplied_together_come_in(tmp_path, experts):
    model, layout = Decoder(MOE, seed=0), Layout(tensor=2, experts=experts)
    run = write_run(tmp_path / "run", model, layout)
    for path in run.glob("iter_*/*/model_optim_rng.pt"):
        state = torch.load(path, weights_only=True)
        torch.save({**state, "model": joined(state["model"])}, path)
    assert_same(converted(run), model)


def test_interleaved_stages_come_in_and_a_tied_heads_copy_is_none_of_its_own(tmp_path):
    model, layout = Decoder(dataclasses.replace(MOE, tied_embeddings=True), seed=0), Layout(stages=4)
    run = tmp_path / "run"
    for rank in range(2):
        folder = run / f"mp_rank_00_{rank:03d}"
        folder.mkdir(parents=True)
        chunks = [rank_state(model, layout, rank=0, stage=2 * turn + rank, expert=0) for turn in range(2)]
        torch.save({"model0": chunks[0], "model1": chunks[1]}, folder / "model_optim_rng.pt")
    save_model(model, tmp_path / "shape")
    assert_same(converted(run), model)


def refused(run: Path, capsys) -> str:
    words = [f"model={run}", f"output={run.parent / 'hf'}", f"config={run.parent / 'shape'}"]
    assert main(["convert", *words]) == 2
    assert not (run.parent / "hf").exists()
    return capsys.readouterr().err


def test_a_missing_rank_is_named(tmp_path, capsys):
    run = write_run(tmp_path / "run", Decoder(MOE, seed=0), Layout(tensor=2, experts=2))
    shutil.rmtree(run / "iter_0000007/mp_rank_01_000")
    error = refused(run, capsys)
    assert "lacks the file of tensor rank 1 of stage 0;" in error
    assert "with experts cut otherwise than the rest, save as torch_dist" in error


def test_a_head_that_is_no_copy_is_refused(tmp_path, capsys):
    tied = Decoder(dataclasses.replace(MOE, tied_embeddings=True), seed=0)
    run = write_run(tmp_path / "run", tied, Layout(stages=2))
    path = run / "iter_0000007/mp_rank_00_001/model_optim_rng.pt"
    state = torch.load(path, weights_only=True)
    state["model"]["output_layer.weight"][0, 0] += 1
    torch.save(state, path)
    assert "'output_layer.weight' differs from 'embedding.word_embeddings.weight'" in refused(run, capsys)


def test_joined_experts_without_a_router_are_refused(tmp_path, capsys):
    run = write_run(tmp_path / "run", Decoder(MOE, seed=0), Layout())
    path = run / "iter_0000007/mp_rank_00/model_optim_rng.pt"
    state = joined(torch.load(path, weights_only=True)["model"])
    torch.save({"model": {name: one for name, one in state.items() if "router" not in name}}, path)
    assert re.search(r"experts.weight1' but no '.*router.weight', which says how many", refused(run, capsys))
