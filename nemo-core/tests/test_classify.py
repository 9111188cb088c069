"""`classify` writes what transformers would say of each text; scoring models can be trained on."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers

from nemo_core.checkpoint.folder import copy_tokenizer, load_model
from nemo_core.checkpoint.scoring import load_scoring_model, save_scoring_model
from nemo_core.cli import main
from nemo_core.model.scoring import new_scoring_model

TEXTS = ["The array module sorts 3 items.", "json", "The glob module reads 99 items. " * 3, "", "heapq joins"]
ROWS = [{"id": f"t{number}", "text": text} for number, text in enumerate(TEXTS)]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def scorers(pretrained, tmp_path_factory):
    """A classifier of three classes and a reward model with random heads."""
    folders = {}
    for name, labels in (("classifier", ["low", "middle", "high"]), ("reward", ["reward"])):
        folders[name] = tmp_path_factory.mktemp("scorers") / name
        model = new_scoring_model(load_model(pretrained), labels, seed=3)
        with torch.no_grad():
            model.score.weight.mul_(20)
        save_scoring_model(model, folders[name])
        copy_tokenizer(pretrained, folders[name])
    return folders


@torch.no_grad()
def theirs(folder, texts):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    return [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in texts]


def test_classes_and_probabilities_are_those_of_transformers_in_the_order_of_the_texts(scorers, tmp_path, capsys):
    source, output = write(tmp_path / "texts.jsonl", ROWS), tmp_path / "labels.jsonl"
    words = [f"model={scorers['classifier']}", f"texts={source}", "threads=1", "batch_size=2"]
    assert main(["classify", *words, f"output={output}"]) == 0
    rows = read(output)
    assert [row["id"] for row in rows] == [row["id"] for row in ROWS]
    assert rows[3] == {"id": "t3", "label": None, "scores": None}
    for row, logits in zip(
        (rows[n] for n in (0, 1, 2, 4)), theirs(scorers["classifier"], [TEXTS[n] for n in (0, 1, 2, 4)])
    ):
        assert list(row["scores"]) == ["low", "middle", "high"]
        assert list(row["scores"].values()) == pytest.approx(logits.softmax(-1).tolist(), abs=2e-5)
        assert row["label"] == ["low", "middle", "high"][int(logits.argmax())]
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["texts"], told["empty"], told["cut_to_length"]) == (5, 1, 0)
    assert sum(told["labels"].values()) == 4


def test_parquet_in_and_out_and_rewards_of_chats(scorers, tmp_path):
    table = pa.table({"id": ["a", "b"], "body": TEXTS[:2]})
    pq.write_table(table, tmp_path / "texts.parquet")
    words = [f"texts={tmp_path / 'texts.parquet'}", "field=body", "threads=1"]
    for name in scorers:
        assert main(["classify", f"model={scorers[name]}", *words, f"output={tmp_path / name}.parquet"]) == 0
    rewards = pq.read_table(tmp_path / "reward.parquet").to_pylist()
    wanted = [float(logits[0]) for logits in theirs(scorers["reward"], TEXTS[:2])]
    assert [row["score"] for row in rewards] == pytest.approx(wanted, abs=2e-5)
    labels = pq.read_table(tmp_path / "classifier.parquet").to_pylist()
    assert [row["id"] for row in labels] == ["a", "b"]
    assert sum(dict(labels[0]["scores"]).values()) == pytest.approx(1.0)

    chat = [{"role": "user", "content": "What is json?"}, {"role": "assistant", "content": "It counts."}]
    source = write(tmp_path / "chats.jsonl", [{"id": "c", "messages": chat}])
    assert main(["classify", f"model={scorers['reward']}", f"texts={source}", f"output={tmp_path / 'r.jsonl'}"]) == 0
    tokenizer = transformers.AutoTokenizer.from_pretrained(scorers["reward"])
    (text,) = (tokenizer.apply_chat_template(chat, tokenize=False),)
    (logits,) = theirs(scorers["reward"], [text])
    assert read(tmp_path / "r.jsonl")[0]["score"] == pytest.approx(float(logits[0]), abs=2e-5)


def test_long_texts_are_cut_and_counted(scorers, tmp_path, capsys):
    source = write(tmp_path / "texts.jsonl", ROWS)
    words = [f"model={scorers['reward']}", f"texts={source}", "max_tokens=4", f"output={tmp_path / 'o.jsonl'}"]
    assert main(["classify", *words]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["cut_to_length"] >= 1


@pytest.mark.parametrize(
    ("row", "words", "said"),
    [
        ({"body": "a"}, [], r"texts.jsonl:1: no text and no messages \(keys: body\); name it with field="),
        ({"text": 7}, [], "texts.jsonl:1: text"),
        ({"text": "a"}, ["output=labels.csv"], "output=labels.csv: a file named .jsonl or .parquet is written"),
    ],
)
def test_what_cannot_be_classified_is_named(scorers, tmp_path, capsys, row, words, said):
    source = write(tmp_path / "texts.jsonl", [row])
    words = [f"model={scorers['reward']}", f"texts={source}", f"output={tmp_path / 'o.jsonl'}", *words]
    assert main(["classify", *words]) == 2
    import re

    assert re.search(said, capsys.readouterr().err)
    assert not (tmp_path / "o.jsonl").exists()


def test_a_language_model_is_no_classifier(pretrained, tmp_path, capsys):
    source = write(tmp_path / "texts.jsonl", ROWS)
    assert main(["classify", f"model={pretrained}", f"texts={source}", f"output={tmp_path / 'o.jsonl'}"]) == 2
    assert "is no sequence classifier" in capsys.readouterr().err


def test_a_classifier_is_trained_on_with_its_own_classes(scorers, tmp_path, capsys):
    rows = [
        {"text": f"{word} {n}", "label": kind} for n in range(8) for word, kind in (("glob", "low"), ("json", "high"))
    ]
    source = write(tmp_path / "rows.jsonl", rows)
    words = [f"model={scorers['classifier']}", f"texts={source}", "sequence_length=32", "batch_size=2", "threads=1"]
    words += ["tensorboard=false", "learning_rate=1e-9", "schedule.warmup_share=0", "steps=1", "save_every_s=1000"]
    assert main(["train-classifier", *words, f"output={tmp_path / 'further'}"]) == 0
    before, after = load_scoring_model(scorers["classifier"]), load_scoring_model(tmp_path / "further")
    assert after.labels == before.labels == ("low", "middle", "high")
    torch.testing.assert_close(after.score.weight, before.score.weight, rtol=0, atol=1e-6)
    assert main(["train-classifier", *words, "labels=[a,b]", f"output={tmp_path / 'other'}"]) == 2
    assert "labels=['a', 'b'], but the scores of" in capsys.readouterr().err
    opinions = write(tmp_path / "o.jsonl", [{"prompt": "a", "chosen": "b", "rejected": "c"}] * 4)
    reward = [word for word in words if not word.startswith("texts=")] + [f"preferences={opinions}"]
    assert main(["train-reward", *reward, f"output={tmp_path / 'r'}"]) == 2
    assert "is a classifier of low, middle, high; a reward model has one score" in capsys.readouterr().err
