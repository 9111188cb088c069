"""Model folders in unusual forms: read where transformers reads them, refused with what to do where not."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from nemo_core.checkpoint.folder import load_model
from nemo_core.families import config_from_hf
from nemo_core.foundation.errors import ArtifactError

from .family_cases import IDS, SHAPE, YARN, write_case

pytest.importorskip("transformers", reason="the reference implementation is not installed")
TIED = "llama, tied, odd vocabulary, wide heads"


def change(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def difference(folder, model):
    ours = load_model(folder)
    with torch.no_grad():
        return (ours.logits(ours(IDS)) - model(IDS).logits).abs().max()


@pytest.mark.parametrize(
    "architectures", [None, [], "LlamaForCausalLM", ["LlamaModel"], ["LLaMAForCausalLM"], ["LlamaForCausalLM", "X"]]
)
def test_the_architecture_is_found_however_it_is_written(architectures, tmp_path):
    model = write_case("llama", tmp_path)
    change(tmp_path, architectures=architectures, an_unknown_key={"a": 1}, quantization_config=None)
    assert difference(tmp_path, model) <= 5e-5


@pytest.mark.parametrize("case", ["gemma3", "gpt2", "starcoder2", "qwen3_moe"])
def test_a_body_without_head_serves_where_the_embedding_is_the_head(case, tmp_path):
    model = write_case(case, tmp_path / "whole")
    model.base_model.save_pretrained(tmp_path / "body")
    if model.config.tie_word_embeddings:
        assert difference(tmp_path / "body", model) <= 5e-5
        return
    with pytest.raises(ArtifactError, match=r"lm_head.weight \(saved without its output head; it predicts no tokens\)"):
        load_model(tmp_path / "body")


@pytest.mark.parametrize("ends", [50256, -1, [2, 50256], None])
def test_special_tokens_that_the_vocabulary_lacks_are_nobodys(ends, tmp_path):
    model = write_case("gpt2", tmp_path)
    change(tmp_path, bos_token_id=50256, eos_token_id=ends)
    config = load_model(tmp_path).config
    assert (config.bos_id, config.eos_id, config.more_eos_ids) == (None, 2 if ends == [2, 50256] else None, ())
    assert difference(tmp_path, model) <= 5e-5


def test_a_head_beside_tied_embeddings_has_to_be_the_same(tmp_path):
    model = write_case(TIED, tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    embedding = weights["model.embed_tokens.weight"]
    save_file({**weights, "lm_head.weight": embedding.clone()}, path)
    assert difference(tmp_path, model) <= 5e-5
    save_file({**weights, "lm_head.weight": embedding * 2}, path)
    with pytest.raises(
        ArtifactError, match=r"'lm_head.weight' differs from .*tie_word_embeddings=true .*set it to false"
    ):
        load_model(tmp_path)


def test_weights_in_another_form_are_refused_with_what_to_do(tmp_path):
    write_case("llama", tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "model-00001-of-00002.safetensors")
    with pytest.raises(
        ArtifactError, match=r"it has model-00001-of-00002.safetensors, but no index .*fetch model.safe"
    ):
        load_model(tmp_path)
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ArtifactError, match=r"it has pytorch_model.bin, a pickle, .* never read; write it anew"):
        load_model(tmp_path)


def test_quantised_folders_are_refused_by_name():
    values = {"architectures": ["LlamaForCausalLM"], **SHAPE, "quantization_config": {"quant_method": "fp8"}}
    with pytest.raises(ArtifactError, match=r"quantization_config \(quant_method='fp8'\) is not representable; take"):
        config_from_hf(values, place="config.json")


def test_yarn_added_to_a_config_stretches_its_positions():
    llama = {"architectures": ["LlamaForCausalLM"], **SHAPE}
    added = {**YARN, "original_max_position_embeddings": 64}
    assert config_from_hf({**llama, "rope_scaling": added}, place="").max_positions == 256
    assert config_from_hf({**llama, "rope_scaling": YARN}, place="").max_positions == 64
