"""Likelihoods, windows, local tasks and the figures made of them, against brute force and by hand."""

import json
import math

import numpy as np
import pytest
import torch

from nemo_core.checkpoint.folder import load_model
from nemo_core.cli import main
from nemo_core.data.batch import IGNORED
from nemo_core.evaluation.metrics import best_per_character, exact_match, f1
from nemo_core.evaluation.questions import read_questions
from nemo_core.evaluation.scoring import Continuation, rolling, score_continuations
from nemo_core.evaluation.windows import SlidingWindows
from nemo_core.foundation.errors import InputError
from nemo_core.tokenizer.load import load_tokenizer


def likelihood(model, context, targets) -> tuple[float, bool]:
    """One row alone, token by token."""
    total, greedy = 0.0, True
    with torch.no_grad():
        for number, token in enumerate(targets):
            seen = [*context, *targets[:number]][-model.config.max_positions :]
            log_probs = model.logits(model(torch.tensor([seen])))[0, -1].log_softmax(-1)
            total += float(log_probs[token])
            greedy &= int(log_probs.argmax()) == token
    return total, greedy


def test_continuations_score_as_each_does_alone(pretrained):
    model = load_model(pretrained)
    draw = torch.Generator().manual_seed(0)
    asked = [
        Continuation(torch.randint(320, (n % 7 + 1,), generator=draw).tolist(), [n % 320, 5, 9][: n % 3 + 1])
        for n in range(11)
    ]
    greedy = int(model.logits(model(torch.tensor([[7, 8]])))[0, -1].argmax())
    asked.append(Continuation([7, 8], [greedy]))
    for one, score in zip(asked, score_continuations(model, asked, batch_size=4), strict=True):
        wanted, is_greedy = likelihood(model, one.context, one.targets)
        assert score.log_prob == pytest.approx(wanted, abs=1e-4)
        assert score.is_greedy == is_greedy
    assert score.is_greedy
    with pytest.raises(InputError, match="needs at least one token before it"):
        score_continuations(model, [Continuation([], [3])])
    with pytest.raises(InputError, match="2000 tokens cannot be scored at once; this model takes 1024"):
        score_continuations(model, [Continuation([1], [3] * 2000)])


@pytest.mark.parametrize(("count", "stride"), [(3, None), (10, None), (23, None), (23, 2), (23, 4), (8, 3), (1, 1)])
def test_every_token_of_a_text_is_scored_once(count, stride):
    found = rolling(range(100, 100 + count), first=1, length=5, stride=stride)
    assert [token for one in found for token in one.targets] == list(range(100, 100 + count))
    for one in found:
        assert len(one.context) + len(one.targets) - 1 <= 5
        joined = [*one.context, *one.targets]
        assert joined[1:] == list(range(joined[1], joined[1] + len(joined) - 1))


@pytest.mark.parametrize(("count", "stride"), [(2, 0), (9, 0), (10, 4), (23, 1), (23, 3), (23, 8), (8, 5)])
def test_windows_count_each_token_once_with_its_own_context(count, stride):
    tokens = np.arange(50, 50 + count)
    windows = SlidingWindows(tokens, 8, stride)
    batch = windows.batch(list(range(len(windows))))
    counted = batch.targets_BT[batch.targets_BT != IGNORED]
    assert counted.tolist() == tokens[1:].tolist()
    assert bool((batch.ids_BT[batch.targets_BT != IGNORED] == counted - 1).all())


def test_a_smaller_stride_gives_more_context_and_bits_follow_from_the_loss(pretrained, tokens, tmp_path):
    figures = {}
    for stride in (0, 8):
        words = [f"model={pretrained}", f"tokens={tokens}", "sequence_length=32", "threads=1", f"stride={stride}"]
        assert main(["evaluate", *words, f"output={tmp_path / str(stride)}"]) == 0
        figures[stride] = json.loads((tmp_path / f"{stride}/results.json").read_text())["models"]["model"]["metrics"]
    disjoint, sliding = figures[0], figures[8]
    assert sliding["validation_loss"]["count"] == disjoint["validation_loss"]["count"]
    assert sliding["validation_loss"]["value"] != disjoint["validation_loss"]["value"]
    for found in figures.values():
        nats = found["validation_loss"]["value"] * found["validation_loss"]["count"]
        assert found["bits_per_byte"]["value"] == pytest.approx(nats / math.log(2) / found["bits_per_byte"]["count"])


def test_answers_are_compared_as_squad_does():
    assert exact_match("The  Cat!", ["a dog", "cat"]) == 1.0
    assert exact_match("cats", ["cat"]) == 0.0
    assert f1("the quick brown fox", ["quick fox", "zebra"]) == pytest.approx(2 * 2 / (3 + 2))
    assert (f1("", [""]), f1("a", ["b c"]), f1("x", ["the"])) == (1.0, 0.0, 0.0)
    assert best_per_character([-4.0, -6.0], ["ab", "abcdef"]) == 1


@pytest.fixture
def task(tmp_path):
    rows = [
        {"question": "The array module", "choices": ["reads", "zebra xylophone qwerty"], "answer": 0},
        {"prompt": "The enum module", "choices": ["qqqq", "keeps"], "answer": "B"},
        {"context": "The json module", "choices": ["joins", "zzzzzzzz"], "answer": "joins"},
    ]
    path = tmp_path / "modules.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_choices_are_judged_by_their_likelihood(task, pretrained, tmp_path):
    written = tmp_path / "written.jsonl"
    written.write_text(json.dumps({"prompt": "What is enum?", "answers": ["The enum module", "x"]}) + "\n")
    words = [f"model={pretrained}", f'tasks=["{task}","{written}"]', "threads=1", f"output={tmp_path / 'e'}"]
    assert main(["evaluate", *words, "answer_tokens=6"]) == 0
    metrics = json.loads((tmp_path / "e/results.json").read_text())["models"]["model"]["metrics"]
    model, tokenizer = load_model(pretrained), load_tokenizer(pretrained)
    right = 0
    answers = [json.loads(line) for line in (tmp_path / "e/answers/modules.jsonl").read_text().splitlines()]
    for question, answer in zip(read_questions(task), answers, strict=True):
        context = tokenizer.encode(question.prompt)
        scores = [
            likelihood(model, context, tokenizer.encode(f"{question.prompt} {choice}")[len(context) :])[0]
            for choice in question.choices
        ]
        assert answer["log_probs"] == pytest.approx(scores, abs=1e-3)
        right += scores.index(max(scores)) == question.right
    assert metrics["modules_accuracy"] == {
        "value": right / 3,
        "unit": "share of questions",
        "better": "higher",
        "count": 3,
    }
    assert metrics["modules_accuracy_normalized"]["count"] == 3
    (said,) = [json.loads(line) for line in (tmp_path / "e/answers/written.jsonl").read_text().splitlines()]
    assert metrics["written_exact_match"]["value"] == exact_match(said["answer"], said["right"])
    assert metrics["written_f1"]["value"] == pytest.approx(f1(said["answer"], said["right"]))


def test_solved_questions_come_first_and_are_not_counted(task, pretrained, tmp_path):
    words = [f"model={pretrained}", f'tasks=["{task}"]', "threads=1", f"output={tmp_path / 'e'}", "shots=1"]
    assert main(["evaluate", *words]) == 0
    metrics = json.loads((tmp_path / "e/results.json").read_text())["models"]["model"]["metrics"]
    assert metrics["modules_accuracy"]["count"] == 2
    model, tokenizer = load_model(pretrained), load_tokenizer(pretrained)
    answer = json.loads((tmp_path / "e/answers/modules.jsonl").read_text().splitlines()[0])
    text = "The array module reads\n\nThe enum module"
    context = tokenizer.encode(text)
    wanted = likelihood(model, context, tokenizer.encode(f"{text} keeps")[len(context) :])[0]
    assert answer["log_probs"][1] == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "x"}', r"q\.jsonl:1: a question needs a text in one of prompt, question, .* and an `answer`"),
        ('{"prompt": "x", "choices": ["a"], "answer": "z"}', r"q\.jsonl:1: answer 'z' is none of 1 choices"),
        ('{"prompt": "x", "choices": ["a"], "answer": true}', r"q\.jsonl:1: answer True is none of 1 choices"),
        ('{"prompt": "x", "choices": "abc", "answer": 0}', r"q\.jsonl:1: `choices` is a list of texts"),
        (
            "[1]",
            r"q\.jsonl:1: a JSON object is needed, .*; of an array, make lines: jq -c '.\[\]' .*q.jsonl > rows.jsonl",
        ),
        ("", r"q\.jsonl: holds no question"),
    ],
)
def test_what_is_no_question_is_named(line, message, tmp_path):
    (tmp_path / "q.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=message):
        read_questions(tmp_path / "q.jsonl")
