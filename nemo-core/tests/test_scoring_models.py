"""Classifiers and reward models give transformers' scores, from and to its folders, whatever fills up their rows."""

import json

import pytest
import torch
import transformers

from nemo_core.checkpoint.folder import load_model
from nemo_core.checkpoint.scoring import load_scoring_model, save_scoring_model
from nemo_core.foundation.errors import ArtifactError, InputError
from nemo_core.model.scoring import new_scoring_model

SMALL = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "num_labels": 3,
}
FAMILIES = {
    "llama": transformers.LlamaConfig(**SMALL),
    "mistral": transformers.MistralConfig(**SMALL),
    "qwen2": transformers.Qwen2Config(**SMALL),
    "qwen3": transformers.Qwen3Config(**SMALL),
    "gemma2": transformers.Gemma2Config(**SMALL, query_pre_attn_scalar=8, attn_implementation="eager"),
    "gpt2": transformers.GPT2Config(
        vocab_size=97,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=64,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        num_labels=3,
    ),
    "reward": transformers.LlamaConfig(**{**SMALL, "num_labels": 1}),
}
# Rows filled up on the right; one without filling, one that holds the filling's token inside, one of a single token.
IDS = torch.tensor([[5, 17, 3, 88, 41, 2], [9, 9, 60, 1, 0, 0], [4, 0, 8, 7, 0, 0], [6, 0, 0, 0, 0, 0]])
LENGTHS = torch.tensor([6, 4, 4, 1])


@pytest.fixture(scope="module", params=FAMILIES)
def reference(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    model = transformers.AutoModelForSequenceClassification.from_config(FAMILIES[request.param]).eval()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.empty_like(weight).normal_(0.0, 0.2, generator=draw))
    model.save_pretrained(folder)
    return folder, model


def test_scores_are_those_of_transformers(reference, tmp_path):
    folder, theirs = reference
    ours = load_scoring_model(folder)
    with torch.no_grad():
        wanted = theirs(input_ids=IDS).logits
        assert (ours(IDS) - wanted).abs().max() <= 5e-5
        assert (ours(IDS, LENGTHS) - wanted).abs().max() <= 5e-5
    save_scoring_model(ours, tmp_path)
    again = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        assert (again(input_ids=IDS).logits - wanted).abs().max() <= 5e-5
    assert torch.equal(load_scoring_model(tmp_path)(IDS), ours(IDS))


def test_a_row_scores_the_same_whatever_fills_it_up(reference):
    ours = load_scoring_model(reference[0])
    refilled = torch.where(torch.arange(6) < LENGTHS[:, None], IDS, 7)
    torch.testing.assert_close(ours(refilled, LENGTHS), ours(IDS, LENGTHS))
    values = ours.values(IDS)
    torch.testing.assert_close(values[torch.arange(4), LENGTHS - 1], ours(IDS, LENGTHS))
    with pytest.raises(InputError, match=r"lengths \[6, 4, 7, 1\] do not fit rows of 6 tokens"):
        ours(IDS, torch.tensor([6, 4, 7, 1]))


def test_a_new_head_learns(pretrained):
    model = new_scoring_model(load_model(pretrained), ["no", "yes"], seed=0)
    other = new_scoring_model(load_model(pretrained), ["no", "yes"], seed=0)
    assert torch.equal(model.score.weight, other.score.weight)
    ids = torch.randint(3, 320, (16, 8), generator=torch.Generator().manual_seed(0))
    classes, lengths = ids[:, 0] % 2, torch.full((16,), 8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(ids, lengths), classes)
        loss.backward()
        optimizer.step()
    assert loss < 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "architecture 'LlamaForCausalLM' is no sequence classifier"),
        ({"id2label": {"0": "a", "1": "b"}}, r"score.weight is \[3, 32\], config.json asks for \[2, 32\]"),
    ],
)
def test_a_folder_that_is_no_classifier_is_named(change, message, tmp_path):
    transformers.AutoModelForSequenceClassification.from_config(FAMILIES["llama"]).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArtifactError, match=message):
        load_scoring_model(tmp_path)
