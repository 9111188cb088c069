"""BERT folders of transformers give its numbers here, and ours there."""

import json

import pytest
import torch
import transformers

from nemo_core.encoder.folder import load_bert, load_encoder, save_bert
from nemo_core.encoder.model import Encoder
from nemo_core.foundation.errors import ArtifactError, InputError

CONFIG = transformers.BertConfig(
    vocab_size=97,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    max_position_embeddings=16,
    num_labels=3,
)
IDS = torch.tensor([[5, 17, 3, 88, 41, 2], [9, 9, 60, 1, 0, 0]])
SEEN = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
TYPES = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 0, 0]])
KINDS = {
    "BertModel": transformers.BertModel,
    "BertForMaskedLM": transformers.BertForMaskedLM,
    "BertForSequenceClassification": transformers.BertForSequenceClassification,
}


@pytest.fixture(params=KINDS)
def reference(request, tmp_path):
    model = KINDS[request.param](CONFIG).eval()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.empty_like(weight).normal_(0.0, 0.3, generator=draw))
    model.save_pretrained(tmp_path / "theirs")
    return tmp_path / "theirs", model


@torch.no_grad()
def answers(model) -> torch.Tensor:
    out = model(input_ids=IDS, attention_mask=SEEN, token_type_ids=TYPES)
    return out.logits if hasattr(out, "logits") else out.last_hidden_state


def test_numbers_are_those_of_transformers_both_ways(reference, tmp_path):
    folder, theirs = reference
    wanted = answers(theirs)
    ours = load_bert(folder)
    with torch.no_grad():
        assert (ours(IDS, SEEN, TYPES) - wanted)[SEEN.bool() if wanted.ndim == 3 else slice(None)].abs().max() <= 5e-5
    save_bert(ours, tmp_path / "ours")
    again = type(theirs).from_pretrained(tmp_path / "ours", dtype=torch.float32).eval()
    torch.testing.assert_close(answers(again), wanted, rtol=1e-5, atol=5e-5)
    for name, weight in load_bert(tmp_path / "ours").named_parameters():
        assert torch.equal(weight, ours.get_parameter(name)), name
    assert isinstance(load_encoder(folder), Encoder)


def test_filling_changes_nothing(reference):
    model = load_encoder(reference[0])
    torch.testing.assert_close(model(IDS, SEEN)[1, :4], model(IDS[1:, :4])[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="17 tokens, but the encoder has 16 positions"):
        model(torch.ones(1, 17, dtype=torch.int64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "roberta"}, "model_type='roberta' is no encoder we know; known: bert"),
        (
            {"architectures": ["BertForTokenClassification"]},
            "'BertForTokenClassification' is not supported; known: Bert",
        ),
        ({"hidden_size": 64}, r"is \[.*\], needed is \["),
        ({"num_hidden_layers": 3}, r"lacks encoder\.layer\.2"),
        ({"num_attention_heads": 5}, "contradicts itself: num_heads=5 does not divide hidden_size=32"),
    ],
)
def test_a_folder_that_does_not_fit_is_named(change, message, tmp_path):
    transformers.BertModel(CONFIG).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArtifactError, match=message):
        load_bert(tmp_path)
