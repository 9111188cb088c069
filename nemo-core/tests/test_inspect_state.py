"""`nemo-core inspect` of training states: step, layout, sizes, hashes, and what of a run is not finished."""

import json

import torch

from nemo_core.checkpoint.folder import load_model
from nemo_core.checkpoint.state import save_state
from nemo_core.checkpoint.state_step import SavedState
from nemo_core.cli import main
from nemo_core.foundation import artifact
from nemo_core.peft.adapter import add_adapter, num_trained
from nemo_core.peft.folder import save_adapter
from nemo_core.peft.settings import LoraSettings

TENSORS = {
    "model.norm.weight": torch.arange(6.0),
    "model.embed_tokens.weight": torch.zeros(10, 4, dtype=torch.bfloat16),
    "optim.model.norm.weight.exp_avg": torch.ones(6),
    "ema.model.norm.weight": torch.ones(6),
    "rng.0.cpu": torch.arange(16, dtype=torch.uint8),
}


def inspect(capsys, path):
    code = main(["inspect", str(path)])
    said = capsys.readouterr()
    return code, json.loads(said.out) if code == 0 else {}, said.err


def test_a_state_tells_step_tensors_and_sizes(tmp_path, capsys):
    save_state(tmp_path / "state", TENSORS, {"step": 3, "loss": 1.5, "plan": {"data": 2}})
    for path in (tmp_path / "state" / "step-000003", tmp_path / "state"):
        code, facts, _ = inspect(capsys, path)
        assert code == 0
        facts = facts.get("newest", facts)
        assert (facts["step"], facts["loss"], facts["plan"]) == (3, 1.5, {"data": 2})
        assert facts["kinds"] == {"average": 1, "generators": 1, "optimizer": 1, "weights": 2}
        assert facts["numbers"] == {"bfloat16": 40, "float32": 18, "uint8": 16}
        assert facts["bytes"] == sum(p.stat().st_size for p in tmp_path.rglob("*.safetensors"))
        assert "whole" in facts["integrity"]


def test_an_altered_state_is_named(tmp_path, capsys):
    save_state(tmp_path / "state", TENSORS, {"step": 3})
    (path,) = tmp_path.rglob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    code, _, error = inspect(capsys, path.parent)
    assert (code, "rank-00000.safetensors was altered since it was written" in error) == (2, True)
    code, _, error = inspect(capsys, tmp_path / "state")
    assert (code, "no state is whole" in error) == (2, True)


def test_a_whole_state_is_found_beside_damaged_and_unfinished_ones(tmp_path, capsys):
    root = tmp_path / "state"
    save_state(tmp_path / "other", TENSORS, {"step": 4})
    save_state(root, TENSORS, {"step": 3})
    (tmp_path / "other" / "step-000004").rename(root / "step-000004")
    (root / "step-000004" / "rank-00000.safetensors").unlink()
    (root / "step-000005.writing").mkdir()
    code, facts, _ = inspect(capsys, root)
    assert (code, facts["newest_whole"], facts["unfinished"]) == (0, 3, ["step-000005.writing"])
    assert [line["step"] for line in facts["states"]] == [3, 4]
    assert "is missing" in facts["states"][1]["damaged"]


def test_a_run_that_was_cut_short_tells_where_it_goes_on(tiny_words, tmp_path, capsys, monkeypatch):
    from nemo_core.train import pretrain

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrain, "save_models", killed)
    output = tmp_path / "model"
    assert main(["pretrain", *tiny_words, "steps=4", f"output={output}"]) != 0
    capsys.readouterr()
    code, facts, _ = inspect(capsys, tmp_path / "model.partial")
    assert (code, facts["kind"], facts["output"]) == (0, "unfinished run", str(output))
    assert (facts["newest_whole"], facts["continues"]) == (4, "the same command goes on after step 4")
    assert facts["newest"]["plan"]["data"] == 1
    state = SavedState(tmp_path / "model.partial" / "state" / "step-000004")
    assert facts["newest"]["tensors"] == len(state)
    code, _, error = inspect(capsys, output)
    assert (code, f"nemo-core inspect {output}.partial" in error) == (2, True)


def test_a_finished_model_is_a_model_and_names_the_states_it_keeps(tiny_words, tmp_path, capsys):
    output = tmp_path / "model"
    assert main(["pretrain", *tiny_words, "steps=4", f"output={output}"]) == 0
    capsys.readouterr()
    code, facts, _ = inspect(capsys, output)
    assert (code, facts["kind"], facts["family"]) == (0, "checkpoint", "llama")
    assert facts["states"][-1] == 4


def test_adapters_and_other_artifacts_are_shown_too(pretrained, tmp_path, capsys):
    model = add_adapter(load_model(pretrained), "lora", LoraSettings(rank=2))
    save_adapter(model, tmp_path / "adapter", base="my-model")
    code, facts, _ = inspect(capsys, tmp_path / "adapter")
    assert (code, facts["kind"], facts["method"], facts["base"]) == (0, "adapter", "LORA", "my-model")
    assert facts["parameters"] == num_trained(model)
    with artifact.create(tmp_path / "tokens", kind="tokens", package="nemo-core", config={}) as draft:
        (draft.path / "train.bin").write_bytes(b"1234")
        draft.stats["train_tokens"] = 2
    code, facts, _ = inspect(capsys, tmp_path / "tokens")
    assert (code, facts["kind"], facts["bytes"], facts["stats"]) == (0, "tokens", 4, {"train_tokens": 2})
    (tmp_path / "tokens/train.bin").write_bytes(b"1235")
    assert "altered since it was written" in inspect(capsys, tmp_path / "tokens")[2]
