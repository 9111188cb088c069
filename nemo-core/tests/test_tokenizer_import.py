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
    "t5": {"model_type": "unigram", "normalization_rule_name": "nmt_nfkc"},
    "case folded": {"model_type": "unigram", "byte_fallback": True, "normalization_rule_name": "nmt_nfkc_cf"},
}
HOSTILE = [
    *("", " ", "    lead", "trail   ", "a  b   c", "\t", "a\tb\t\tc", "\n", "a\n\nb\r\nc", "\r", "\x00", "a\x00b"),
    *("👍🏽👨\u200d👩\u200d👧", "a\u200bb", "\u200b", " \u200b ", "\ufeffabc", "\u202eabc", "a\u2028b", "x\u00a0y"),
    *("漢字かな交じり文", "ＡＢＣ１２３", "\u3000全角", "ﬁne ½ ²", "Cafe\u0301", "Ze\u0301ro Z\u0301", "İstanbul ẞ ß"),
    *("▁", "▁▁", "▁lead", "a▁b", "end▁", "▁é", "العربية ไทย", "\ud7ff", "\U0010ffff", "hello" * 30),
]
TEXT = st.text(alphabet=st.sampled_from(list(" abcdefghijmoprstuyTM.,019_-\n\té漢👍ß")), max_size=60)


def trained(folder, documents, options):
    """A model learnt from the documents, as sp.model."""
    texts = [json.loads(line)["text"] for line in documents.read_text().splitlines()]
    random.Random(0).shuffle(texts)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(folder / "sp"),
        vocab_size=420,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )


@pytest.fixture(scope="module", params=KINDS)
def pair(request, documents, tmp_path_factory):
    """The library's own reading of a model, and ours."""
    folder = tmp_path_factory.mktemp("sentencepiece")
    trained(folder, documents, KINDS[request.param])
    assert main(["import-tokenizer", f"model={folder / 'sp.model'}", f"output={folder / 'tokenizer'}"]) == 0
    return sentencepiece.SentencePieceProcessor(str(folder / "sp.model")), load_tokenizer(folder / "tokenizer")


@settings(max_examples=300, deadline=None)
@given(text=TEXT)
def test_ids_are_those_of_sentencepiece(pair, text):
    theirs, ours = pair
    assert ours.encode(text) == theirs.encode(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_cut_and_come_back_as_in_sentencepiece(pair, text):
    theirs, ours = pair
    ids = theirs.encode(text)
    assert ours.encode(text) == ids
    found = ours.decode(ids, skip_special=False).replace("<unk>", " \u2047 ")  # how it writes what it does not know
    assert found == theirs.decode(ids)


def test_a_text_behind_a_special_token_begins_as_in_transformers(documents, tmp_path):
    transformers = pytest.importorskip("transformers", reason="the reference implementation is not installed")
    trained(tmp_path, documents, KINDS["llama"])
    assert main(["import-tokenizer", f"model={tmp_path / 'sp.model'}", f"output={tmp_path / 'tokenizer'}"]) == 0
    ours = load_tokenizer(tmp_path / "tokenizer")
    (tmp_path / "llama").mkdir()
    (tmp_path / "sp.model").rename(tmp_path / "llama" / "tokenizer.model")
    theirs = transformers.LlamaTokenizer.from_pretrained(tmp_path / "llama")
    for text in ("<s>The json", "a</s>b <s>c", "<s>", "The heapq module.\n</s>x"):
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)


def test_spaces_behind_words_are_refused_by_name(documents, tmp_path, capsys):
    trained(tmp_path, documents, {**KINDS["llama"], "treat_whitespace_as_suffix": True})
    assert main(["import-tokenizer", f"model={tmp_path / 'sp.model'}", f"output={tmp_path / 'o'}"]) == 2
    assert "sp.model: treat_whitespace_as_suffix (spaces behind words) has no equal here" in capsys.readouterr().err


def test_text_comes_back_and_the_end_of_text_is_known(pair):
    theirs, ours = pair
    text = "the heapq module sorts 12 items."
    assert ours.decode(ours.encode(text)) == text
    assert (ours.vocab_size, ours.eos_id, ours.bos_id) == (theirs.vocab_size(), theirs.eos_id(), theirs.bos_id())


def test_what_is_no_sentencepiece_model_is_named(tmp_path, capsys):
    (tmp_path / "x.model").write_bytes(b"\xff\xfe no model")
    for name in ("x.model", "absent.model"):
        assert main(["import-tokenizer", f"model={tmp_path / name}", f"output={tmp_path / 'o'}"]) == 2
        assert f"{name}: not a SentencePiece model" in capsys.readouterr().err
