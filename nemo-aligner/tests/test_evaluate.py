"""The command evaluate: one table for several models, on data none of them has seen."""

import json

import pytest
import torch

from nemo_aligner.cli import main
from nemo_aligner.evaluation.preference import figures, own_figures
from nemo_aligner.evaluation.table import table
from nemo_core.checkpoint.folder import load_model
from nemo_core.foundation import artifact
from nemo_core.tokenizer.load import load_tokenizer


def evaluate_words(toys, output, **more):
    words = {"models": json.dumps({"first": str(toys.model), "second": str(toys.model)}), "output": output}
    words |= {"conversations": toys.digits_to_repeat, "preferences": toys.digits_to_sort, "questions": 5, "pairs": 16}
    words |= {"samples": 3, "max_tokens": 6}
    return [f"{key}={value}" for key, value in (words | more).items()]


def test_every_model_gets_every_metric_and_its_samples(toys, tmp_path, capsys):
    assert main(["evaluate", *evaluate_words(toys, tmp_path / "out")]) == 0
    artifact.read(tmp_path / "out", "evaluation")
    models = json.loads((tmp_path / "out/results.json").read_text())["models"]
    assert list(models) == ["first", "second"]
    assert models["first"] == models["second"]
    metrics = models["first"]["metrics"]
    assert {"answer_loss", "preference_accuracy", "logp_margin", "reward", "response_tokens"} <= metrics.keys()
    assert metrics["answer_loss"]["better"] == "lower"
    assert metrics["preference_accuracy"]["count"] == 16
    assert [sample["held_out"] for sample in models["first"]["samples"]] == [True] * 3 + [False]
    assert set(models["first"]["samples"][0]) == {"prompt", "answer", "reference", "held_out"}
    assert "answer_loss (lower is better)" in capsys.readouterr().err


def test_the_answer_loss_is_the_mean_over_held_out_answer_tokens(toys, tmp_path):
    main(["evaluate", *evaluate_words(toys, tmp_path / "out", questions=1)])
    metrics = json.loads((tmp_path / "out/results.json").read_text())["models"]["first"]["metrics"]
    model, tokenizer = load_model(toys.model), load_tokenizer(toys.model)
    (row,) = [json.loads(line) for line in (toys.digits_to_repeat / "data/validation.jsonl").read_text().splitlines()][
        :1
    ]
    ids, is_answer = tokenizer.encode_chat_with_mask(row["messages"])
    logp_TV = model.logits(model(torch.tensor([ids])))[0].log_softmax(-1)
    logps = [logp_TV[place - 1, ids[place]].item() for place, flag in enumerate(is_answer) if flag]
    assert metrics["answer_loss"]["count"] == len(logps) == 17
    assert metrics["answer_loss"]["value"] == pytest.approx(-sum(logps) / 17, rel=1e-5)


def test_a_models_own_ranking_is_told_from_its_ranking_against_the_reference():
    scores = [(-4.0, -1.0, -9.0, -3.0), (-9.0, -3.0, -4.0, -2.0)]
    reference = [(-5.0, -1.2, -5.0, -2.0), (-12.0, -4.0, -4.0, -2.0)]
    assert own_figures(scores) == {
        "preference_accuracy": 0.5,
        "preference_accuracy_by_sum": 0.5,
        "logp_margin": pytest.approx(0.5),
    }
    found = figures(scores, reference, beta=0.1, loss="dpo")
    assert found["reward_accuracy"] == 1.0
    assert found["margin"] == pytest.approx(0.1 * (5.0 + 3.0) / 2)


def test_the_table_marks_the_best_of_each_row():
    def result(loss):
        return {"metrics": {"loss": {"value": loss, "unit": "", "better": "lower", "count": 1}}}

    text = table({"sft": result(2.0), "dpo": result(1.5)})
    assert text.splitlines()[1].split("is better)")[1].split() == ["2.000", "1.500", "*"]


def test_a_row_that_only_one_model_has_is_left_open():
    text = table({"a": {"metrics": {}}, "b": {"metrics": {"x": {"value": 1.0, "better": "higher"}}}})
    assert "-" in text.splitlines()[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"models": '{"a": "nowhere"}'}, "nowhere: no such folder"),
        ({"models": "{}"}, "models"),
        ({"tokens": "nowhere"}, "nowhere: no such folder"),
        ({"max_tokens": 63}, "no question fits into the 1 tokens"),
    ],
)
def test_evaluate_refuses(words, message, toys, tmp_path, capsys):
    assert main(["evaluate", *evaluate_words(toys, tmp_path / "out", **words)]) == 2
    assert message in capsys.readouterr().err
