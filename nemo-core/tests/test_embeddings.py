"""Texts become vectors as transformers and torch have it, and learn from pairs."""

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from nemo_core.checkpoint.state_store import saved_steps
from nemo_core.cli import main
from nemo_core.embedding import command
from nemo_core.embedding.model import contrastive_loss, load_embedder, pool, text_encoder

WORDS = ["alpha", "beta", "gamma", "delta", "red", "blue", "green", "grey", "one", "two", "three", "four"]
TEXTS = ["alpha red one", "beta blue", "gamma green three four", "delta"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=32,
    )
    transformers.BertModel(config).save_pretrained(folder)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_vectors_are_those_of_transformers(bert, pooling, tmp_path):
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    words = [f"model={bert}", f"texts={tmp_path / 'texts.jsonl'}", f"pooling={pooling}", "batch_size=3", "threads=1"]
    assert main(["embed", *words, f"output={tmp_path / 'v.npy'}"]) == 0
    model = transformers.BertModel.from_pretrained(bert).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    for text, vector in zip(TEXTS, np.load(tmp_path / "v.npy"), strict=True):
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        wanted = {"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}[pooling]
        np.testing.assert_allclose(vector, F.normalize(wanted, dim=0).numpy(), atol=1e-5)


def test_a_decoder_is_pooled_at_its_last_token(pretrained):
    model = load_embedder(pretrained, "auto")
    encoder = text_encoder(model, pretrained, max_tokens=64)
    ids, lengths = encoder.rows(["The enum module", "x"])
    with torch.no_grad():
        alone = model(*encoder.rows(["x"]))
        torch.testing.assert_close(model(ids, lengths)[1:], alone)
        hidden = model.body(ids[:1])[0, int(lengths[0]) - 1]
    torch.testing.assert_close(model(ids, lengths)[0], F.normalize(hidden, dim=0))
    assert len(encoder.ids("The enum module " * 100)) == 64


def test_the_loss_is_the_mean_of_log_shares_by_hand():
    draw = torch.Generator().manual_seed(0)
    queries, candidates = (F.normalize(torch.randn(n, 6, generator=draw), dim=1) for n in (3, 5))
    wanted = 0.0
    for number in range(3):
        shares = [float((queries[number] @ candidate / 0.1).exp()) for candidate in candidates]
        wanted -= np.log(shares[number] / sum(shares)) / 3
    assert float(contrastive_loss(queries, candidates, temperature=0.1)) == pytest.approx(wanted, rel=1e-5)
    hidden = torch.randn(2, 3, 4, generator=draw)
    seen = torch.tensor([[True, True, True], [True, False, False]])
    torch.testing.assert_close(pool(hidden, seen, torch.tensor([3, 1]), "mean")[1], hidden[1, 0])


@pytest.fixture
def pairs(tmp_path):
    rows = [
        {"query": WORDS[n], "positive": f"{WORDS[4 + n]} {WORDS[8 + n]}", "negatives": [WORDS[8 + (n + 1) % 4]]}
        for n in range(4)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("widths", [(), (12, 6, 3)])
def test_the_loss_and_its_gradient_are_those_of_sentence_transformers(symmetric, widths):
    losses = pytest.importorskip("sentence_transformers.losses", reason="the reference implementation is not installed")
    kind = losses.MultipleNegativesSymmetricRankingLoss if symmetric else losses.MultipleNegativesRankingLoss
    draw = torch.Generator().manual_seed(0)
    queries, positives, hard = (torch.randn(4, 12, generator=draw, requires_grad=True) for _ in range(3))
    loss_of = kind(torch.nn.Module(), scale=20.0)
    wanted = sum(
        loss_of.compute_loss_from_embeddings([one[:, :width] for one in (queries, positives, hard)], None)
        for width in widths or (12,)
    )
    wanted_grads = torch.autograd.grad(wanted, (queries, positives, hard))
    units = F.normalize(queries, dim=1), F.normalize(torch.cat([positives, hard]), dim=1)
    found = contrastive_loss(*units, temperature=0.05, symmetric=symmetric, widths=widths)
    torch.testing.assert_close(found, wanted)
    for mine, other in zip(torch.autograd.grad(found, (queries, positives, hard)), wanted_grads, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)


def test_texts_that_belong_together_come_close(bert, pairs, tmp_path):
    words = [f"model={bert}", f"pairs={pairs}", "steps=60", "batch_size=4", "learning_rate=0.003", "threads=1"]
    assert main(["train-embedding", *words, f"output={tmp_path / 'm'}"]) == 0
    stats = json.loads((tmp_path / "m/manifest.json").read_text())["stats"]
    assert stats["last_loss"] < 0.3 < stats["first_loss"]
    model = load_embedder(tmp_path / "m", "auto")
    encoder = text_encoder(model, tmp_path / "m", max_tokens=16)
    with torch.no_grad():
        queries = model(*encoder.rows(WORDS[:4]))
        found = model(*encoder.rows([f"{WORDS[4 + n]} {WORDS[8 + n]}" for n in range(4)]))
    assert (queries @ found.T).argmax(1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_was_cut_short_ends_with_the_bytes_of_an_uninterrupted_one(
    bert, pairs, tmp_path, monkeypatch, number
):
    words = ["train-embedding", f"model={bert}", f"pairs={pairs}", "steps=12", "batch_size=4", "threads=1"]
    assert main([*words, f"output={tmp_path / 'whole'}"]) == 0
    cut = [*words, "save_every_s=0.000001", f"output={tmp_path / 'cut'}"]
    if number == signal.SIGKILL:
        killed = (
            "import os, signal, sys; from nemo_core.cli import main; from nemo_core.embedding import command as c;"
            "real = c.one_step; steps = iter(range(99));"
            "c.one_step = lambda *a: os.kill(os.getpid(), signal.SIGKILL) if next(steps) == 7 else real(*a);"
            "main(sys.argv[1:])"
        )
        assert subprocess.run([sys.executable, "-c", killed, *cut], capture_output=True).returncode == -signal.SIGKILL
    else:
        steps, real = iter(range(99)), command.one_step

        def stopped(*inputs):
            if next(steps) == 7:
                signal.raise_signal(number)
            return real(*inputs)

        with monkeypatch.context() as patch:
            patch.setattr(command, "one_step", stopped)
            assert main(cut) == 75
    assert not (tmp_path / "cut").exists()
    assert saved_steps(tmp_path / "cut.partial/state")[-1] == (7 if number == signal.SIGKILL else 8)
    assert main(cut) == 0
    for path in (tmp_path / "whole").rglob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "cut" / path.relative_to(tmp_path / "whole")).read_bytes()
    metrics = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "cut")]
    assert metrics[0] == metrics[1]
    assert not (tmp_path / "cut/state").exists()


def test_sentence_transformers_reads_the_folder(bert, pairs, tmp_path):
    library = pytest.importorskip("sentence_transformers", reason="the reference implementation is not installed")
    words = [f"model={bert}", f"pairs={pairs}", "steps=3", "batch_size=4", "threads=1", "pooling=cls"]
    assert main(["train-embedding", *words, f"output={tmp_path / 'm'}"]) == 0
    theirs = library.SentenceTransformer(str(tmp_path / "m"), device="cpu").encode(TEXTS)
    model = load_embedder(tmp_path / "m", "auto")
    assert model.pooling == "cls"
    with torch.no_grad():
        ours = model(*text_encoder(model, tmp_path / "m", max_tokens=16).rows(TEXTS))
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("begins", [False, True])
def test_sentence_transformers_gives_the_vectors_of_a_decoder(pretrained, pairs, tmp_path, begins):
    library = pytest.importorskip("sentence_transformers", reason="the reference implementation is not installed")
    shutil.copytree(pretrained, tmp_path / "base")
    if begins:
        tokenizer = Tokenizer.from_file(str(tmp_path / "base/tokenizer.json"))
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|im_start|> $A", special_tokens=[("<|im_start|>", tokenizer.token_to_id("<|im_start|>"))]
        )
        tokenizer.save(str(tmp_path / "base/tokenizer.json"))
        (tmp_path / "base/manifest.json").unlink()  # no artifact any more, but a folder of one's own
    words = [f"model={tmp_path / 'base'}", f"pairs={pairs}", "steps=1", "batch_size=4", "threads=1", "max_tokens=16"]
    assert main(["train-embedding", *words, "symmetric=true", "widths=[32,8]", f"output={tmp_path / 'm'}"]) == 0
    texts = [*TEXTS, "long " * 40, " é漢 "]
    theirs = library.SentenceTransformer(str(tmp_path / "m"), device="cpu").encode(texts)
    model = load_embedder(tmp_path / "m", "auto")
    encoder = text_encoder(model, tmp_path / "m", max_tokens=16)
    assert encoder.ids("x") == text_encoder(model, tmp_path / "base", max_tokens=16).ids("x")
    with torch.no_grad():
        np.testing.assert_allclose(model(*encoder.rows(texts)).numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"query": "a"}', "pairs.jsonl:1: a pair needs the texts `query` and `positive`"),
        ('{"query": "a", "positive": "b", "negatives": [1]}', "pairs.jsonl:1: `negatives` is a list of texts"),
        ('{"query": "a", "positive": "b"}', "pairs.jsonl: holds 1 pair(s)"),
    ],
)
def test_what_is_no_pair_is_named(bert, line, message, tmp_path, capsys):
    (tmp_path / "pairs.jsonl").write_text(line + "\n")
    words = [f"model={bert}", f"pairs={tmp_path / 'pairs.jsonl'}", f"output={tmp_path / 'm'}"]
    assert main(["train-embedding", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
