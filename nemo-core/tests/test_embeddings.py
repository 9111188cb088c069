"""Texts become vectors as transformers and torch have it, and learn from pairs."""

import json
import os
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
from nemo_core.embedding.model import load_embedder, pool, text_encoder
from nemo_core.embedding.objective import PairLoss, contrastive_loss
from nemo_core.embedding.pairs import Pair, pair_batch
from nemo_core.train import loop
from nemo_core.train.metrics import read_metrics
from nemo_core.train.world import ALONE

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


PAIRS = [
    Pair("alpha", "red one", ("blue", "grey two")),
    Pair("beta", "blue", ()),
    Pair("gamma delta one", "green", ("four four four",)),
]


def test_the_loss_is_the_sum_of_log_shares_by_hand(bert):
    model = load_embedder(bert, "auto")
    encoder = text_encoder(model, bert, max_tokens=16)
    batch = pair_batch([[pair] for pair in PAIRS], encoder, negatives=1)
    with torch.no_grad():
        queries = [model(*encoder.rows([pair.query]))[0] for pair in PAIRS]
        texts = [pair.positive for pair in PAIRS] + ["blue", "four four four"]
        candidates = [model(*encoder.rows([text]))[0] for text in texts]
    wanted = 0.0
    for number, query in enumerate(queries):
        shares = [float((query @ candidate / 0.1).exp()) for candidate in candidates]
        wanted -= np.log(shares[number] / sum(shares))
    loss = PairLoss(ALONE, texts=3, temperature=0.1)(model, batch)
    assert batch.num_targets == 3
    assert float(loss.detach()) == pytest.approx(wanted, rel=1e-5)
    loss.backward()
    slopes = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    PairLoss(ALONE, texts=3, temperature=0.1, at_once=2)(model, batch).backward()
    for name, weight in model.named_parameters():
        if name in slopes:
            torch.testing.assert_close(weight.grad, slopes[name], atol=1e-6, rtol=1e-5)


def test_means_are_over_what_is_there():
    hidden = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
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
    found = contrastive_loss(*units, slice(0, 4), temperature=0.05, symmetric=symmetric, widths=widths) / 4
    torch.testing.assert_close(found, wanted)
    for mine, other in zip(torch.autograd.grad(found, (queries, positives, hard)), wanted_grads, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)


def test_texts_that_belong_together_come_close(bert, pairs, tmp_path):
    words = [f"model={bert}", f"pairs={pairs}", "steps=60", "batch_size=4", "learning_rate=0.003", "threads=1"]
    assert main(["train-embedding", *words, f"output={tmp_path / 'm'}"]) == 0
    stats = json.loads((tmp_path / "m/manifest.json").read_text())["stats"]
    losses = [row["loss"] for row in read_metrics(tmp_path / "m/metrics.jsonl") if "loss" in row]
    assert losses[-1] < 0.3 < losses[0]
    assert (stats["objective"], stats["pairs"]) == ("embedding", 4)
    assert stats["parameters"] == sum(weight.numel() for weight in load_embedder(bert, "auto").parameters())
    model = load_embedder(tmp_path / "m", "auto")
    encoder = text_encoder(model, tmp_path / "m", max_tokens=16)
    with torch.no_grad():
        queries = model(*encoder.rows(WORDS[:4]))
        found = model(*encoder.rows([f"{WORDS[4 + n]} {WORDS[8 + n]}" for n in range(4)]))
    assert (queries @ found.T).argmax(1).tolist() == [0, 1, 2, 3]


def load_bytes(folder) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.safetensors"))]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_each_being_the_others_negatives(bert, pairs, tmp_path):
    words = ["train-embedding", f"model={bert}", f"pairs={pairs}", "steps=6", "batch_size=4", "threads=1"]
    words += ["log_every=1", "tensorboard=false", "device=cpu", "micro_batch_size=1", "guard.rollback_after=0"]
    folder = tmp_path / "calm"  # without dropout, whose masks differ between layouts
    shutil.copytree(bert, folder)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "hidden_dropout_prob": 0.0}))
    words[1] = f"model={folder}"
    assert main([*words, f"output={tmp_path / 'one'}"]) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nemo_core"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *words, f"output={tmp_path / 'two'}"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (
        [row["loss"] for row in read_metrics(tmp_path / name / "metrics.jsonl") if "loss" in row]
        for name in ("one", "two")
    )
    assert two == pytest.approx(one, rel=1e-4)


def test_a_decoder_learns_through_an_adapter(pretrained, pairs, tmp_path):
    words = [f"model={pretrained}", f"pairs={pairs}", "steps=30", "batch_size=4", "threads=1", "method=lora"]
    assert main(["train-embedding", *words, "device=cpu", f"output={tmp_path / 'm'}"]) == 0
    losses = [row["loss"] for row in read_metrics(tmp_path / "m/metrics.jsonl") if "loss" in row]
    assert losses[-1] < 0.5 * losses[0]
    assert load_embedder(tmp_path / "m", "auto").pooling == "last"


def test_an_encoder_takes_no_adapter(bert, pairs, tmp_path, capsys):
    words = [f"model={bert}", f"pairs={pairs}", "method=lora", f"output={tmp_path / 'm'}"]
    assert main(["train-embedding", *words]) == 2
    assert "is an encoder; adapters go on decoders only" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_was_cut_short_ends_with_the_bytes_of_an_uninterrupted_one(
    bert, pairs, tmp_path, monkeypatch, number
):
    words = ["train-embedding", f"model={bert}", f"pairs={pairs}", "steps=12", "batch_size=4", "threads=1"]
    words += ["log_every=1", "tensorboard=false", "device=cpu"]
    assert main([*words, f"output={tmp_path / 'whole'}"]) == 0
    cut = [*words, "save_every_s=0.000001", f"output={tmp_path / 'cut'}"]
    if number == signal.SIGKILL:
        killed = (
            "import os, signal, sys; from nemo_core.cli import main; from nemo_core.train import loop;"
            "real = loop.learn; steps = iter(range(99));"
            "loop.learn = lambda *a, **k: os.kill(os.getpid(), 9) if next(steps) == 7 else real(*a, **k);"
            "main(sys.argv[1:])"
        )
        assert subprocess.run([sys.executable, "-c", killed, *cut], capture_output=True).returncode == -signal.SIGKILL
    else:
        steps, real = iter(range(99)), loop.learn

        def stopped(*inputs, **named):
            if next(steps) == 7:
                signal.raise_signal(number)
            return real(*inputs, **named)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "learn", stopped)
            assert main(cut) == 75
    assert not (tmp_path / "cut").exists()
    assert saved_steps(tmp_path / "cut.partial/state")[-1] in ((6, 7) if number == signal.SIGKILL else (8,))
    assert main(cut) == 0
    assert load_bytes(tmp_path / "whole") == load_bytes(tmp_path / "cut")
    metrics = [read_metrics(tmp_path / name / "metrics.jsonl") for name in ("whole", "cut")]
    losses = [[(row["step"], row["loss"]) for row in rows if "loss" in row] for rows in metrics]
    assert losses[0] == losses[1]


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
    words = [
        f"model={tmp_path / 'base'}",
        f"pairs={pairs}",
        "steps=1",
        "batch_size=4",
        "threads=1",
        "sequence_length=16",
    ]
    words += ["device=cpu", "tensorboard=false"]
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
