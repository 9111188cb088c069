"""States name and lay out tensors as the model's folder does, and come back under the names of the run."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nemo_core.checkpoint.folder import save_model
from nemo_core.checkpoint.state import load_state, optimizer_tensors, restore_optimizer, save_state
from nemo_core.checkpoint.state_names import StateNames, named
from nemo_core.checkpoint.state_piece import Piece
from nemo_core.checkpoint.state_settings import StateSettings
from nemo_core.checkpoint.state_step import SavedState, write_index, write_part
from nemo_core.checkpoint.tensors import iterate_tensors
from nemo_core.families import config_from_hf
from nemo_core.model.decoder import Decoder
from nemo_core.train.saving import Saver
from nemo_core.train.world import ALONE

from .family_cases import CASES

ONE_OF_EACH = [name for name in CASES if "," not in name or name.startswith("falcon")]


def redrawn(case: str, seed: int = 0) -> Decoder:
    model_type, architecture, values = CASES[case]
    config = config_from_hf({"model_type": model_type, "architectures": [architecture], **values}, place=case)
    model, draw = Decoder(config), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, 1.0, generator=draw)
    return model


def in_folder(model: Decoder, folder: Path) -> dict[str, Tensor]:
    """The trained tensors as save_model writes them."""
    save_model(model, folder)
    return {name: tensor for name, tensor in iterate_tensors(folder) if not name.endswith("correction_bias")}


def stepped(model: Decoder) -> torch.optim.AdamW:
    optimizer = torch.optim.AdamW(model.parameters())
    draw = torch.Generator().manual_seed(5)
    for weight in model.parameters():
        weight.grad = torch.randn(weight.shape, generator=draw)
    optimizer.step()
    return optimizer


def tensors_of(model: Decoder, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {name: weight.detach() for name, weight in model.named_parameters()} | optimizer_tensors(optimizer, model)


@pytest.mark.parametrize("case", ONE_OF_EACH)
def test_weights_and_moments_are_named_and_laid_out_as_in_the_folder_and_come_back(case, tmp_path):
    model = redrawn(case)
    optimizer, names = stepped(model), StateNames(model.config)
    save_state(tmp_path / "state", tensors_of(model, optimizer), {"step": 1}, names=names)

    saved = SavedState(tmp_path / "state/step-000001")
    wanted = in_folder(model, tmp_path / "weights")
    for key in ("exp_avg", "exp_avg_sq"):
        moments = copy.deepcopy(model)
        with torch.no_grad():
            for mine, weight in zip(moments.parameters(), model.parameters(), strict=True):
                mine.copy_(optimizer.state[weight][key])
        found = in_folder(moments, tmp_path / key)
        wanted |= {f"optim.{name}.{key}": tensor for name, tensor in found.items()}
    steps = {name for name in saved if name.endswith(".step")}
    assert set(saved) - steps == wanted.keys()
    assert steps == {f"optim.{name}.step" for name in wanted if not name.startswith("optim.")}
    for name, tensor in wanted.items():
        assert torch.equal(saved[name], tensor), name

    other = redrawn(case, seed=1)
    fresh = torch.optim.AdamW(other.parameters())
    state, _ = load_state(tmp_path / "state", names=names)
    with torch.no_grad():
        for name, weight in other.named_parameters():
            weight.copy_(state.fill(name, weight))
    restore_optimizer(fresh, other, state)
    for name, tensor in tensors_of(model, optimizer).items():
        assert torch.equal(tensors_of(other, fresh)[name], tensor), name


def test_a_state_of_canonical_names_is_still_read(tmp_path):
    model = redrawn("gemma2")
    optimizer = stepped(model)
    save_state(tmp_path, tensors_of(model, optimizer), {"step": 1})
    state, _ = load_state(tmp_path, names=StateNames(model.config))
    for name, tensor in tensors_of(model, optimizer).items():
        assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize("case", ["gpt2", "phi3", "falcon, new, one norm", "deepseek_v3", "gemma2"])
def test_blocks_of_shared_out_weights_come_back_whole(case, tmp_path):
    model, folder = redrawn(case), tmp_path / "step-000001"
    names = StateNames(model.config)
    tensors = tensors_of(model, stepped(model))
    for rank in range(2):
        pieces = []
        for name, tensor in tensors.items():
            if tensor.ndim:
                half = -(-len(tensor) // 2)
                data = tensor[rank * half : (rank + 1) * half]
                pieces.append(Piece(name, data, tuple(tensor.shape), (rank * half, *(0,) * (tensor.ndim - 1))))
            elif not rank:
                pieces.append(Piece(name, tensor, (), ()))
        write_part(folder, list(names.written(pieces, is_staged=rank == 1)), rank=rank)
    write_index(folder, num_parts=2, facts={"names": "folder"})
    state = named(SavedState(folder), names)
    assert set(state) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(state[name], tensor), name
        if tensor.ndim == 2:
            assert torch.equal(state.read(name, (3, 2), (4, 5)), tensor[3:7, 2:7]), name


def test_what_is_no_weight_of_the_model_keeps_its_name(tmp_path):
    names = StateNames(redrawn("gpt2").config, prefix="decoder.")
    adapter = {"decoder.model.layers.0.self_attn.q_proj.lora_a": torch.ones(2, 3), "score.weight": torch.ones(1, 4)}
    norm = {"decoder.model.norm.weight": torch.arange(32.0), "rng.0.cpu": torch.zeros(3, dtype=torch.uint8)}
    save_state(tmp_path, {**adapter, **norm}, {"step": 1}, names=names)
    saved = SavedState(tmp_path / "step-000001")
    assert set(saved) == {*adapter, "transformer.ln_f.weight", "rng.0.cpu"}
    state, _ = load_state(tmp_path, names=names)
    assert set(state) == {*adapter, *norm}
    assert torch.equal(state["decoder.model.norm.weight"], norm["decoder.model.norm.weight"])


def test_training_changes_nothing_of_a_state_that_is_still_being_written(tmp_path):
    model = redrawn("gpt2")
    before = copy.deepcopy(model)
    saver = Saver(tmp_path, StateSettings(), ALONE, names=StateNames(model.config))
    saver.save(1, {name: weight.detach() for name, weight in model.named_parameters()}, {"step": 1})
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    saver.finish()
    state = saver.load()
    assert state is not None
    for name, weight in before.named_parameters():
        assert torch.equal(state[name], weight), name


def test_steps_that_differ_within_a_fused_tensor_are_kept_apart(tmp_path):
    model = redrawn("gpt2")
    optimizer = stepped(model)
    optimizer.state[model.model.layers[0].self_attn.k_proj.weight]["step"] += 1
    save_state(tmp_path, tensors_of(model, optimizer), {"step": 1}, names=StateNames(model.config))
    state, _ = load_state(tmp_path, names=StateNames(model.config))
    assert state["optim.model.layers.0.self_attn.k_proj.weight.step"] == 2
    assert state["optim.model.layers.0.self_attn.q_proj.weight.step"] == 1
    assert "optim.canonical.model.layers.0.self_attn.k_proj.weight.step" in SavedState(tmp_path / "step-000001")


def test_no_family_gives_two_tensors_one_name():
    for case in CASES:
        rules = StateNames(redrawn(case).config).tensors.rules
        left = [name for rule in rules for name in rule.left]
        assert len(left) == len(set(left)), case
        assert all(len(rule.left) == 1 for rule in rules), case
