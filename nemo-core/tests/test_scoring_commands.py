"""`train-classifier` and `train-reward` learn to score; their folders are transformers' sequence classifiers."""

import dataclasses
import functools
import json

import pytest
import torch
import transformers

from nemo_core.checkpoint.folder import load_model
from nemo_core.checkpoint.scoring import load_scoring_model
from nemo_core.cli import main
from nemo_core.foundation import settings as settings_module
from nemo_core.foundation.errors import Preempted
from nemo_core.model.scoring import new_scoring_model
from nemo_core.scoring.command import assemble, classes
from nemo_core.scoring.data import Scored, scored_batch
from nemo_core.scoring.objective import ClassLoss, PreferenceLoss
from nemo_core.scoring.settings import TrainClassifierSettings
from nemo_core.tokenizer.load import load_tokenizer
from nemo_core.train.loop import train
from nemo_core.train.session import make_plan

from .interrupting import Interrupting

NOUNS = [
    f"{kind} {thing}" for kind in ("big", "old", "tiny", "new") for thing in ("array", "heap", "list", "queue", "tree")
]
GOOD, BAD = ["fast", "clear", "useful"], ["slow", "broken", "awful"]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    rows = [
        {"id": f"{noun}-{word}", "text": f"The {noun} is {word}.", "label": kind}
        for noun in NOUNS
        for kind, words in (("good", GOOD), ("bad", BAD))
        for word in words
    ]
    return write(tmp_path_factory.mktemp("reviews") / "reviews.jsonl", rows)


@pytest.fixture(scope="module")
def opinions(tmp_path_factory):
    rows = [
        {"id": f"{noun}-{good}", "prompt": f"How is {noun}?", "chosen": f"It is {good}.", "rejected": f"It is {bad}."}
        for noun in NOUNS
        for good, bad in zip(GOOD, BAD)
    ]
    return write(tmp_path_factory.mktemp("opinions") / "opinions.jsonl", rows)


@pytest.fixture
def words(pretrained):
    return [
        f"model={pretrained}",
        "sequence_length=64",
        "batch_size=4",
        "steps=40",
        "learning_rate=0.01",
        "validation_share=0.2",
        "threads=1",
        "tensorboard=false",
    ]


def stats_of(folder):
    return json.loads((folder / "manifest.json").read_text())["stats"]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_classifier_learns_and_transformers_gives_its_scores(method, words, reviews, tmp_path):
    output = tmp_path / "classifier"
    assert main(["train-classifier", *words, f"texts={reviews}", f"method={method}", f"output={output}"]) == 0
    stats = stats_of(output)
    assert stats["labels"] == ["bad", "good"]
    assert stats["items"] + stats["held_out_items"] == 120
    assert stats["held_out_items"] >= 10
    assert stats["after"]["validation_accuracy"] >= 0.9
    assert stats["after"]["validation_loss"] < stats["before"]["validation_loss"] - 0.2
    tokenizer = transformers.AutoTokenizer.from_pretrained(output)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(output, dtype=torch.float32).eval()
    assert theirs.config.id2label == {0: "bad", 1: "good"}
    texts = ["The tree is fast.", "The very old table is awful."]
    batch = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    ours, ids = load_scoring_model(output), load_tokenizer(output)
    with torch.no_grad():
        wanted = theirs(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        found = torch.cat(
            [ours(torch.tensor([ids.encode(text)]), torch.tensor([len(ids.encode(text))])) for text in texts]
        )
    assert (found - wanted).abs().max() <= 5e-5
    assert found.argmax(-1).tolist() == [1, 0]


def test_a_reward_model_learns_what_people_prefer(words, opinions, tmp_path):
    output = tmp_path / "reward"
    assert main(["train-reward", *words, "sequence_length=192", f"preferences={opinions}", f"output={output}"]) == 0
    stats = stats_of(output)
    assert stats["labels"] == ["reward"]
    assert stats["after"]["validation_accuracy"] >= 0.9
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(output, dtype=torch.float32).eval()
    tokenizer, ours = load_tokenizer(output), load_scoring_model(output)
    ids = torch.tensor([tokenizer.encode("It is fast.")])
    with torch.no_grad():
        assert theirs(input_ids=ids).logits.shape == (1, 1)
        assert (theirs(input_ids=ids).logits - ours(ids)).abs().max() <= 5e-5


def test_packed_losses_are_those_of_single_rows(pretrained):
    model = new_scoring_model(load_model(pretrained), ["a", "b", "c"], seed=0)
    reward = new_scoring_model(load_model(pretrained), ["reward"], seed=1)
    draw = torch.Generator().manual_seed(0)
    texts = [torch.randint(3, 320, (size,), generator=draw).tolist() for size in (5, 9, 3, 7, 1, 4)]

    def scores(of, ids):
        return of(torch.tensor([ids]), torch.tensor([len(ids)]))[0]

    packed = scored_batch([[Scored(texts[n], label=n % 3) for n in row] for row in ([0, 1], [2, 3, 4], [5])])
    each = [torch.nn.functional.cross_entropy(scores(model, ids), torch.tensor(n % 3)) for n, ids in enumerate(texts)]
    torch.testing.assert_close(ClassLoss()(model, packed), torch.stack(each).sum())
    assert packed.num_targets == 6
    pairs = scored_batch(
        [
            [Scored(texts[0], rejected=texts[1]), Scored(texts[2], rejected=texts[3])],
            [Scored(texts[4], rejected=texts[5])],
        ]
    )
    margins = [(scores(reward, texts[n]) - scores(reward, texts[n + 1])).item() for n in (0, 2, 4)]
    wanted = sum(torch.log1p(torch.exp(torch.tensor(-margin))) for margin in margins)
    torch.testing.assert_close(PreferenceLoss()(reward, pairs), wanted)
    loss, right = PreferenceLoss().judged(reward, pairs)
    assert int(right) == sum(margin > 0 for margin in margins)
    assert (pairs.num_targets, loss.item()) == (3, pytest.approx(wanted.item()))


def test_margins_and_centring_enter_as_in_trls_reward_trainer(pretrained):
    """-log sigmoid(chosen - rejected - margin) + c (chosen + rejected)^2, a mean over pairs there, a sum here."""
    reward = new_scoring_model(load_model(pretrained), ["reward"], seed=1)
    draw = torch.Generator().manual_seed(0)
    texts = [torch.randint(3, 320, (size,), generator=draw).tolist() for size in (5, 9, 3, 7, 1, 4)]
    margins = [0.5, -1.25, 0.0]
    items = [Scored(texts[2 * n], rejected=texts[2 * n + 1], margin=margin) for n, margin in enumerate(margins)]
    batch = scored_batch([items[:2], items[2:]])
    score = torch.stack([reward(torch.tensor([ids]), torch.tensor([len(ids)]))[0, 0] for ids in texts]).view(3, 2)
    plain = -torch.nn.functional.logsigmoid(score[:, 0] - score[:, 1] - torch.tensor(margins))
    centred = plain + 0.3 * score.sum(1) ** 2
    torch.testing.assert_close(PreferenceLoss()(reward, batch), plain.sum())
    torch.testing.assert_close(PreferenceLoss(center_weight=0.3)(reward, batch), centred.sum())
    halves = [PreferenceLoss(center_weight=0.3)(reward, batch.rows(slice(n, n + 1))) for n in (0, 1)]
    torch.testing.assert_close(torch.stack(halves).sum(), centred.sum())


@pytest.mark.parametrize("method", ["full", "lora"])
def test_training_a_classifier_continues_bit_for_bit(method, words, reviews, tmp_path):
    chosen = [*words, "steps=8", f"texts={reviews}", f"method={method}", f"output={tmp_path / 'x'}"]
    settings = settings_module.load(TrainClassifierSettings, None, chosen)
    start = functools.partial(assemble, settings, functools.partial(classes, settings))
    plan = make_plan(settings, label="test", steps=8)
    whole = start().parts
    train(whole, plan, tmp_path / "whole")
    parts = start().parts
    with pytest.raises(Preempted, match="asked to stop"):
        train(dataclasses.replace(parts, data=Interrupting(parts.data, 4)), plan, tmp_path / "broken")
    resumed = start().parts
    train(resumed, plan, tmp_path / "broken")
    for name, weight in whole.model.named_parameters():
        assert torch.equal(weight, resumed.model.get_parameter(name)), name


@pytest.mark.parametrize(
    ("rows", "change", "message"),
    [
        (
            [{"text": "a", "label": "x"}, {"text": "b", "label": "x"}],
            [],
            "a classifier needs at least two different ones",
        ),
        ([{"text": "a", "label": 1.5}], [], "rows.jsonl:1: label must be a text or a whole number, it is 1.5"),
        ([{"text": "a"}], [], r"rows.jsonl:1: no label (keys: text)"),
        ([{"text": "a", "label": "x"}], ["labels=[y,z]"], "class 'x' is none of y, z; name all with labels="),
        ([{"text": "a", "label": "x"}], ["parallel.tensor=2"], "parallel.tensor=2: scoring models are trained on rows"),
        ([{"text": "a", "label": "x"}], ["lora.quantize=nf4"], "lora.quantize=nf4: the adapter is merged in the end"),
        ([{"text": "a", "label": "x"}], ["method=lora", "ema.decay=0.9"], "averages whole models; set it to 0"),
        ([{"text": "", "label": "x"}, {"text": "b", "label": "y"}], [], "rows.jsonl:1: the text has no tokens"),
    ],
)
def test_what_cannot_be_learnt_is_named(rows, change, message, words, tmp_path, capsys):
    path = write(tmp_path / "rows.jsonl", rows)
    chosen = [*words, "validation_share=0", f"texts={path}", *change, f"output={tmp_path / 'x'}"]
    assert main(["train-classifier", *chosen]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "chosen and rejected are the same text"),
        ({"prompt": "a" * 500, "chosen": "b", "rejected": "c"}, "both answers with their prompts are longer than 64"),
    ],
)
def test_pairs_that_teach_nothing_are_named(row, message, words, tmp_path, capsys):
    path = write(tmp_path / "rows.jsonl", [row])
    assert main(["train-reward", *words, f"preferences={path}", f"output={tmp_path / 'x'}"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "rows.jsonl:1" in said
