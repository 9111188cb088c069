"""Every recipe is a run that `pretrain` accepts, of about the size its paper states."""

import dataclasses

import pytest

from nemo_core.cli import main
from nemo_core.foundation import settings as settings_module
from nemo_core.foundation.errors import ConfigError
from nemo_core.sizes import model_config, size_names
from nemo_core.train.efficiency import tflops_of
from nemo_core.train.recipes import published_recipes, recipe
from nemo_core.train.settings import PretrainSettings


@pytest.mark.parametrize("size", published_recipes())
def test_a_recipe_is_a_run_of_a_known_size(size, tmp_path, capsys):
    assert main(["recipe", size]) == 0
    (tmp_path / "r.yaml").write_text(capsys.readouterr().out)
    settings = settings_module.load(PretrainSettings, tmp_path / "r.yaml", ["tokens=t", "output=o"])
    assert size in size_names()
    assert settings.schedule.warmup_steps < 0.2 * settings.steps
    tokens = settings.steps * settings.batch_size * settings.sequence_length
    assert tokens == pytest.approx(published_recipes()[size].tokens, rel=0.01)
    config = model_config(size, vocab_size=32000, max_positions=settings.sequence_length, eos_id=0, pad_id=0)
    assert dataclasses.asdict(config)["max_positions"] == settings.sequence_length


def test_a_size_without_a_recipe_is_named():
    with pytest.raises(ConfigError, match=r"size='llama3-9b' has no recipe; one of .*; did you mean 'llama3-8b'"):
        recipe("llama3-9b")


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA H200 NVL", 835.5),
        ("NVIDIA GB200", 2500.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA L40", 181.05),
        ("NVIDIA L4", 121.0),
        ("NVIDIA A10G", None),
        ("NVIDIA RTX A4000", None),
    ],
)
def test_a_gpu_has_the_peak_of_its_own_data_sheet_or_none(name, tflops):
    assert tflops_of(name) == tflops
