"""Published sizes have the parameters that their makers count."""

import pytest

from nemo_core.families import FAMILIES
from nemo_core.foundation.errors import ConfigError
from nemo_core.sizes import SIZES, model_config, published_config, published_sizes, size_names

COUNTED = {
    "gpt2-124m": 124_439_808,
    "gpt2-1.5b": 1_557_611_200,
    "llama2-7b": 6_738_415_616,
    "llama2-70b": 68_976_648_192,
    "llama3-8b": 8_030_261_248,
    "llama3-70b": 70_553_706_496,
    "llama3.1-405b": 405_853_388_800,
    "llama3.2-1b": 1_235_814_400,
    "llama3.2-3b": 3_212_749_824,
    "mistral-7b": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-0.6b": 596_049_920,
    "qwen3-8b": 8_190_735_360,
    "qwen3-30b-a3b": 30_532_122_624,
    "gemma2-2b": 2_614_341_888,
    "gemma2-9b": 9_241_705_984,
    "gemma2-27b": 27_227_128_320,
    "gemma3-1b": 999_885_952,
    "phi3-mini": 3_821_079_552,
    "starcoder2-3b": 3_030_371_328,
    "falcon-7b": 6_921_720_704,
    "deepseek-v2-lite": 15_706_484_224,
    "deepseek-v3": 671_026_404_352,
    "pythia-1b": 1_011_781_632,
    "olmo2-7b": 7_298_617_344,
}


@pytest.mark.parametrize("name", COUNTED)
def test_parameters_are_those_of_the_published_model(name):
    assert published_config(name).num_parameters == COUNTED[name]


def test_every_family_has_a_size_and_every_size_takes_another_vocabulary():
    assert {published_config(name).family for name in published_sizes()} == set(FAMILIES.values())
    for name in size_names():
        config = model_config(name, vocab_size=320, max_positions=1024, eos_id=3, pad_id=4)
        shape = config.vocab_size, config.max_positions, config.eos_id, config.pad_id, config.more_eos_ids
        assert shape == (320, 1024, 3, 4, ())
        if name in published_sizes():
            assert config.num_layers == published_config(name).num_layers


def test_the_dial_keeps_its_shapes():
    config = model_config("nano", vocab_size=320, max_positions=64, eos_id=3, pad_id=3)
    assert (config.num_layers, config.hidden_size, config.num_kv_heads, config.ffn_size) == (4, 128, 2, 352)
    assert list(SIZES) == ["nano", "micro", "mini", "small", "base"]


def test_an_unknown_size_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"size='llama3-7b' is unknown; known: nano, .*did you mean 'llama3-70b'"):
        published_config("llama3-7b")
