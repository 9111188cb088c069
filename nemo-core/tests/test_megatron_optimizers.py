"""Muon and Adafactor look at the same matrices in a megatron model as in a native one."""

import signal
from pathlib import Path

import pytest

from nemo_core.cli import main
from nemo_core.foundation.errors import ConfigError
from nemo_core.train.recovery import BadSteps
from nemo_core.train.settings import OptimizerSettings

from .test_megatron_training import MEGATRON, assert_same_state, in_two_processes, losses

pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

KINDS = ["muon", "adafactor"]


def words_of(tiny_words: list[str], kind: str) -> list[str]:
    """A run whose queries outnumber keys and values, which two processes share out evenly."""
    kept = [word for word in tiny_words if not word.startswith(("model.num_heads", "model.num_kv_heads"))]
    rate = "learning_rate=0.02" if kind == "adafactor" else "learning_rate=0.005"
    return [*kept, "model.num_heads=4", "model.num_kv_heads=2", f"optimizer.kind={kind}", rate]


@pytest.fixture(params=KINDS)
def case(request, tiny_words, tmp_path) -> tuple[list[str], Path]:
    """Settings of a run, and the native run with them."""
    words = words_of(tiny_words, request.param)
    assert main(["pretrain", *words, f"output={tmp_path / 'native'}"]) == 0
    return words, tmp_path / "native"


def test_whole_matrices_are_updated_as_natively(case, tmp_path):
    words, native = case
    assert main(["pretrain", *words, MEGATRON, f"output={tmp_path / 'megatron'}"]) == 0
    assert losses(tmp_path / "megatron") == pytest.approx(losses(native), rel=5e-5)
    assert_same_state(tmp_path / "megatron", native, 1e-3)


@pytest.mark.parametrize("layout", ["tensor=2", pytest.param("fsdp=2", marks=pytest.mark.slow)])
def test_matrices_that_processes_share_are_updated_as_natively(case, tmp_path, layout):
    words, native = case
    in_two_processes(*words, MEGATRON, f"parallel.{layout}", f"output={tmp_path / 'megatron'}")
    assert losses(tmp_path / "megatron") == pytest.approx(losses(native), rel=2e-4)
    assert_same_state(tmp_path / "megatron", native, 2e-2)


@pytest.mark.parametrize("ways", [("native", "megatron"), ("megatron", "native")], ids=str)
def test_a_run_goes_on_with_the_other_implementation(case, tmp_path, monkeypatch, ways):
    words, native = case
    words = ["pretrain", *words, f"output={tmp_path / 'model'}"]
    right = BadSteps.is_bad

    def stops_at_six(self, step, **figures):
        if step == 6:
            signal.raise_signal(signal.SIGTERM)
        return right(self, step, **figures)

    monkeypatch.setattr(BadSteps, "is_bad", stops_at_six)
    assert main([*words, f"implementation={ways[0]}"]) == 75
    monkeypatch.setattr(BadSteps, "is_bad", right)
    assert main([*words, f"implementation={ways[1]}"]) == 0
    assert losses(tmp_path / "model") == pytest.approx(losses(native), rel=5e-5)
    assert_same_state(tmp_path / "model", native, 1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_distributed_optimizer_of_gpus_has_no_whole_matrices(kind):
    from nemo_core.megatron.train import check_optimizer

    with pytest.raises(ConfigError, match=rf"optimizer.kind={kind} looks at whole matrices.*use parallel.fsdp of 2"):
        check_optimizer(OptimizerSettings(kind=kind))
    check_optimizer(OptimizerSettings())
