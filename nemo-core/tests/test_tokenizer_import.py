"""A SentencePiece model becomes a tokenizer.json that gives the very same ids."""

import json
import random

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.cli import main
from nemo_core.tokenizer.load import load_tokenizer

KINDS = {
    "llama": {
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "split_digits": True,
    },
    "unigram": {"model_type": "unigram", "byte_fallback": True, "normalization_rule_name": "identity"},
    "no dummy prefix": {
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,
    },
}
TEXT = st.text(alphabet=st.sampled_from(list(" abcdefghijmoprstuyTM.,019_-\n\té漢👍ß")), max_size=60)


@pytest.fixture(scope="module", params=KINDS)
def pair(request, documents, tmp_path_factory):
    """The library's own reading of a model, and ours."""
    folder = tmp_path_factory.mktemp("sentencepiece")
    texts = [json.loads(line)["text"] for line in documents.read_text().splitlines()]
    random.Random(0).shuffle(texts)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(folder / "sp"),
        vocab_size=420,
        hard_vocab_limit=False,
        minloglevel=2,
        **KINDS[request.param],
    )
    assert main(["import-tokenizer", f"model={folder / 'sp.model'}", f"output={folder / 'tokenizer'}"]) == 0
    return sentencepiece.SentencePieceProcessor(str(folder / "sp.model")), load_tokenizer(folder / "tokenizer")


@settings(max_examples=300, deadline=None)
@given(text=TEXT)
def test_ids_are_those_of_sentencepiece(pair, text):
    theirs, ours = pair
    assert ours.encode(text) == theirs.encode(text)


def test_text_comes_back_and_the_end_of_text_is_known(pair):
    theirs, ours = pair
    text = "The heapq module sorts 12 items."
    assert ours.decode(ours.encode(text)) == text
    assert (ours.vocab_size, ours.eos_id, ours.bos_id) == (theirs.vocab_size(), theirs.eos_id(), theirs.bos_id())


def test_what_is_no_sentencepiece_model_is_named(tmp_path, capsys):
    (tmp_path / "x.model").write_bytes(b"\xff\xfe no model")
    for name in ("x.model", "absent.model"):
        assert main(["import-tokenizer", f"model={tmp_path / name}", f"output={tmp_path / 'o'}"]) == 2
        assert f"{name}: not a SentencePiece model" in capsys.readouterr().err
