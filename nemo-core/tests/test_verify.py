"""`nemo-core verify` finds the layer where implementations part, and says what it could not compare."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from nemo_core.checkpoint.folder import save_model
from nemo_core.cli import main
from nemo_core.config import ModelConfig
from nemo_core.model.decoder import Decoder
from nemo_core.verify import command
from nemo_core.verify.trace import Trace, compare

from .family_cases import CASES, write_case

pytestmark = pytest.mark.filterwarnings("ignore")

TINY = ModelConfig(
    vocab_size=61, hidden_size=32, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=8, ffn_size=40, max_positions=32
)
REFUSED = ("deepseek_v2", "deepseek_v3", "olmo2", "olmo3", "smollm3")
REPRESENTABLE = [name for name, (family, *_) in CASES.items() if family not in REFUSED]


@pytest.fixture
def folder(tmp_path):
    save_model(Decoder(TINY, seed=0), tmp_path / "model")
    return tmp_path / "model"


def printed(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def test_all_three_agree_on_a_good_folder(folder, capsys):
    pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")
    assert main(["verify", str(folder), "threads=1"]) == 0
    found = printed(capsys)
    assert found["tokens"] == [2, 32]
    for name in ("megatron", "transformers"):
        assert found[name]["logits"] <= 5e-5
        assert found[name]["first_difference"] is None
        assert list(found[name]["stages"]) == ["embeddings", "layer 0", "layer 1", "layer 2 and final norm", "logits"]


@pytest.mark.parametrize("name", REPRESENTABLE)
def test_every_family_but_those_refused_agrees(tmp_path, capsys, name):
    pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")
    write_case(name, tmp_path)
    assert main(["verify", str(tmp_path), "threads=1", "length=24"]) == 0
    found = printed(capsys)
    assert found["megatron"]["logits"] <= 5e-5
    assert found["transformers"]["logits"] <= 5e-5


def test_the_first_layer_that_diverges_is_named(folder, capsys, monkeypatch):
    """A second folder stands in for an implementation that computes layer 1 wrongly."""
    other = folder.with_name("other")
    save_model(Decoder(TINY, seed=0), other)
    tensors = load_file(other / "model.safetensors")
    tensors["model.layers.1.mlp.down_proj.weight"] += 0.1
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    backend = command.load_backend("implementation", "transformers", command.IMPLEMENTATIONS, package="nemo-core")
    right = backend.trace
    monkeypatch.setattr(backend, "trace", lambda _, ids: right(other, ids))
    assert main(["verify", str(folder), "against=[transformers]", "threads=1"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["transformers"]["first_difference"] == "layer 1"
    assert "transformers differs from native by" in captured.err
    assert "in the logits, first at layer 1 (tolerance 5e-05)" in captured.err


def test_what_an_implementation_cannot_represent_is_said(tmp_path, capsys):
    pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")
    write_case("deepseek_v3", tmp_path, attention_bias=True)
    assert main(["verify", str(tmp_path), "threads=1"]) == 0
    found = printed(capsys)
    assert "attention_bias=true with mla: megatron.core's latent attention" in found["megatron"]["skipped"]
    assert found["transformers"]["logits"] <= 5e-5
    assert main(["verify", str(tmp_path), "against=[megatron]", "threads=1"]) == 1
    assert "nothing was compared: megatron: implementation=megatron: attention_bias" in capsys.readouterr().err


def test_a_missing_library_is_named(folder, capsys, monkeypatch):
    absent = command.Backend(module="absent_library", extra="megatron")
    monkeypatch.setitem(command.IMPLEMENTATIONS, "megatron", absent)

    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'megatron'", name="megatron")

    monkeypatch.setattr("importlib.import_module", missing)
    outcome = command.difference(
        "megatron", folder, torch.zeros(1, 2, dtype=torch.long), Trace([], torch.zeros(1)), 1e-5
    )
    assert outcome == "implementation 'megatron' needs the library 'megatron': pip install 'nemo-core[megatron]'"


def test_what_is_not_a_number_counts_as_a_difference():
    native = Trace([torch.ones(1, 2, 4), torch.ones(1, 2, 4)], torch.ones(1, 2, 9))
    other = Trace([torch.ones(1, 2, 4), torch.full((1, 2, 4), torch.nan)], torch.ones(1, 2, 9))
    found = compare(native, other, tolerance=1e-5)
    assert found.first == "layer 0 and final norm"
    assert found.logits == 0
