"""Conversations and preferences are read in the forms people have them; a bad row is named by file and line."""

import gzip
import json

import pytest

from nemo_core.data.chat import encode_conversations
from nemo_core.data.rows import read_conversations, read_preferences
from nemo_core.foundation.errors import InputError
from nemo_core.tokenizer.load import load_tokenizer

ASKED = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": ASKED},
        {"id": "7", "subject": "s", "messages": ASKED, "source": "x"},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        {"input": "q", "output": "a"},
        {"prompt": "q", "completion": "a"},
        {"prompt": "q", "response": "a"},
        {"question": "q", "answer": "a"},
        {"instruction": "q", "input": "", "output": "a"},
    ],
)
def test_every_known_form_reads_as_the_same_conversation(tmp_path, row):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n\n")
    (conversation,) = read_conversations(path)
    assert conversation.messages == ASKED
    assert conversation.place == f"{path}:1"
    assert conversation.id == row.get("id", "rows.jsonl:1")


def test_an_instruction_carries_its_input(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"instruction": "Sum", "input": "1 2", "output": "3"}))
    assert read_conversations(tmp_path / "a.jsonl")[0].messages[0]["content"] == "Sum\n\n1 2"


def test_a_folder_keeps_its_splits_apart_and_gzip_is_read(tmp_path, questions):
    assert len(read_conversations(questions, "train")) == 29
    assert len(read_conversations(questions, "validation")) == 4
    with gzip.open(tmp_path / "more.jsonl.gz", "wt") as handle:
        handle.write(json.dumps({"messages": ASKED}))
    assert len(read_conversations(tmp_path)) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"rows.jsonl:2: not valid JSON"),
        ("[", r"rows.jsonl:2: not valid JSON .*; of an array, make lines: jq -c '.\[\]' .*rows.jsonl > rows.jsonl"),
        ('{"text": "x"}', r"rows.jsonl:2: in no known form \(keys: text\)"),
        ('{"messages": []}', r"rows.jsonl:2: messages must be a text or a list of messages"),
        (
            '{"messages": [{"role": "robot", "content": "x"}]}',
            r"rows.jsonl:2: messages\[0\].role must be one of system",
        ),
        ('{"messages": [{"role": "user", "content": 3}]}', r"rows.jsonl:2: messages\[0\].content must be a text"),
        ('{"messages": [{"role": "user", "content": "x"}]}', r"rows.jsonl:2: no assistant turn"),
        ('{"conversations": [{"from": "dog", "value": "x"}]}', r"rows.jsonl:2: conversations\[0\].from must be one of"),
        ('{"input": "x", "output": null}', r"rows.jsonl:2: output must be a text, it is 'None'"),
    ],
)
def test_a_bad_conversation_is_named(tmp_path, line, message):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": ASKED}) + "\n" + line + "\n")
    with pytest.raises(InputError, match=message):
        read_conversations(path)


@pytest.mark.parametrize("chosen", ["a", ASKED[1:], ASKED])
def test_preferences_read_as_messages_with_or_without_the_prompt_repeated(tmp_path, chosen):
    row = {"prompt": ASKED[:1], "chosen": chosen, "rejected": "b"}
    (tmp_path / "p.jsonl").write_text(json.dumps(row))
    (preference,) = read_preferences(tmp_path / "p.jsonl")
    assert preference.prompt == ASKED[:1]
    assert preference.chosen == ASKED[1:]
    assert preference.rejected == [{"role": "assistant", "content": "b"}]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "q", "chosen": "a"}, r"p.jsonl:1: no rejected \(keys: prompt, chosen\)"),
        ({"prompt": "q", "chosen": "a", "rejected": []}, r"p.jsonl:1: rejected must be a text or a list"),
        ({"prompt": "q", "chosen": ASKED[:1], "rejected": "b"}, r"p.jsonl:1: chosen ends with a 'user' turn"),
    ],
)
def test_a_bad_preference_is_named(tmp_path, row, message):
    (tmp_path / "p.jsonl").write_text(json.dumps(row))
    with pytest.raises(InputError, match=message):
        read_preferences(tmp_path / "p.jsonl")


def test_missing_and_empty_sources_are_named(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "folder").mkdir()
    for source, message in ((tmp_path / "absent", "no such file"), (tmp_path / "folder", "no JSONL file in it")):
        with pytest.raises(InputError, match=message):
            read_conversations(source)
    with pytest.raises(InputError, match="no rows in its train split; give at least one conversation"):
        read_conversations(tmp_path / "empty.jsonl")


def test_conversations_are_cut_to_length_and_those_left_without_answer_are_told(tokenizer_folder, questions):
    tokenizer = load_tokenizer(tokenizer_folder)
    rows = read_conversations(questions)
    whole = encode_conversations(rows, tokenizer, max_length=1000)
    assert (whole.cut, whole.without_answer, len(whole.examples)) == (0, [], 29)
    shortest = min(len(example.ids) for example in whole.examples)
    cut = encode_conversations(rows, tokenizer, max_length=shortest - 1)
    assert cut.cut == 29
    assert all(len(example.ids) == shortest - 1 for example in cut.examples)
    with pytest.raises(InputError, match=r"train.jsonl:1: no answer within the first 2 tokens, nor in any other"):
        encode_conversations(rows, tokenizer, max_length=2)
