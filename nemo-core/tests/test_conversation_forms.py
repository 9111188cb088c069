"""What is learnt of a conversation: the answers, less those that its form holds back."""

import json

import pytest

from nemo_core.cli import main
from nemo_core.data.chat import encode_conversations
from nemo_core.data.rows import read_conversations
from nemo_core.foundation.errors import InputError
from nemo_core.tokenizer.load import load_tokenizer

TWO_TURNS = [
    {"role": "user", "content": "one?"},
    {"role": "assistant", "content": "first"},
    {"role": "user", "content": "two?"},
    {"role": "assistant", "content": "second"},
]


def written(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def learnt_text(path, tokenizer):
    """The text of the tokens that are learnt, of the only conversation."""
    (example,) = encode_conversations(read_conversations(path), tokenizer, max_length=500).examples
    return tokenizer.decode([i for i, yes in zip(example.ids, example.learn, strict=True) if yes], skip_special=False)


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return load_tokenizer(tokenizer_folder)


def test_every_answer_is_learnt_with_its_end_of_turn_and_nothing_else(tmp_path, tokenizer):
    path = written(tmp_path, {"messages": TWO_TURNS})
    assert learnt_text(path, tokenizer) == "first<|im_end|>second<|im_end|>"


def test_a_message_of_weight_0_is_read_but_not_learnt(tmp_path, tokenizer):
    messages = [dict(message) for message in TWO_TURNS]
    messages[1]["weight"], messages[3]["weight"] = 0, 1
    path = written(tmp_path, {"messages": messages})
    assert learnt_text(path, tokenizer) == "second<|im_end|>"
    assert read_conversations(path)[0].learn == (False, False, False, True)


def test_nemo_conversations_learn_from_everyone_but_the_masked_speaker(tmp_path, tokenizer):
    turns = [{"from": "User", "value": "one?"}, {"from": "Assistant", "value": "first", "label": None}]
    row = {"system": "Be brief.", "mask": "User", "type": "TEXT_TO_VALUE", "conversations": turns}
    path = written(tmp_path, row)
    assert [m["role"] for m in read_conversations(path)[0].messages] == ["system", "user", "assistant"]
    assert learnt_text(path, tokenizer) == "first<|im_end|>"


def test_a_system_text_and_text_parts_are_read(tmp_path):
    sharegpt = {"system": "s", "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, TWO_TURNS[1]]}
    first, second = read_conversations(written(tmp_path, sharegpt, parts))
    assert first.messages[0] == {"role": "system", "content": "s"}
    assert second.messages[0] == {"role": "user", "content": "q"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"messages": [*TWO_TURNS[:1], {**TWO_TURNS[1], "weight": 0.5}]},
            r"rows.jsonl:1: messages\[1\].weight must be 0",
        ),
        (
            {"messages": [*TWO_TURNS[:1], {**TWO_TURNS[1], "weight": 0}]},
            "every assistant turn has weight 0 or is masked",
        ),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]},
            r"messages\[0\].tool_calls cannot be learnt",
        ),
        (
            {"mask": "Nobody", "conversations": [{"from": "User", "value": "x"}]},
            "mask='Nobody' names none of the speakers",
        ),
        (
            {
                "mask": "User",
                "type": "TEXT_TO_VALUE",
                "conversations": [{"from": "User", "value": "x"}, {"from": "A", "value": "y", "label": "quality:4"}],
            },
            r"conversations\[1\].label holds attributes \(type='TEXT_TO_VALUE'\)",
        ),
        ({"mask": "User", "conversations": [{"from": "User", "value": "x"}]}, "no assistant turn"),
    ],
)
def test_what_cannot_be_learnt_is_named(tmp_path, row, message):
    with pytest.raises(InputError, match=message):
        read_conversations(written(tmp_path, row))


def test_a_preview_marks_what_is_learnt(tmp_path, tokenizer_folder, capsys):
    path = written(tmp_path, {"messages": TWO_TURNS}, {"input": "q", "output": "a"})
    assert main(["preview", f"model={tokenizer_folder}", f"conversations={path}", "count=1"]) == 0
    shown = capsys.readouterr().out
    assert "rows.jsonl:1: " in shown
    assert "<|im_start|>assistant\n«first<|im_end|>»\n<|im_start|>user" in shown
    assert "rows.jsonl:2" not in shown
