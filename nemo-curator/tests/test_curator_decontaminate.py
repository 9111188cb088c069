"""Passages of evaluation sets are found, common ones stay, the others are cut out."""

import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_curator.cli import main
from nemo_curator.decontaminate.index import build, words_of
from nemo_curator.decontaminate.settings import Decontaminate
from nemo_curator.foundation.errors import ConfigError, InputError
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl

QUESTION = "Natalia sold clips to forty eight of her friends in April, and then she sold half as many clips in May."


@pytest.fixture
def tasks(tmp_path):
    rows = [{"question": QUESTION, "answer": "72", "level": "one two three four five six seven eight nine"}]
    return {"gsm8k": write_jsonl(tmp_path / "gsm8k.jsonl", rows)}


def judged(text, tasks, **settings):
    step = Decontaminate(tasks=tasks, max_matches=None, **settings).open()
    verdict = step(pa.table({"id": ["d"], "text": [text]}))
    return verdict.documents["text"].to_pylist(), verdict.reason.to_pylist(), verdict


@settings(deadline=None, max_examples=100)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=80))
def test_words_are_those_of_the_regular_expression(text):
    words = words_of(text)
    wanted = [match.span() for match in re.finditer(r"\w+", text)]
    assert list(zip(words.starts.tolist(), words.ends.tolist(), strict=True)) == wanted


def test_a_passage_is_cut_with_the_sentences_around_it(tasks):
    before, after = prose(1) + " The end comes here.", " It goes on then. " + prose(2)
    text = f"{before} {QUESTION.upper()} {after}"
    pieces, reasons, verdict = judged(text, tasks, cut_characters=20)
    assert reasons == [None, None]
    assert verdict.documents["id"].to_pylist() == ["d~0", "d~1"]
    assert before.startswith(pieces[0])
    assert pieces[0].endswith(".")
    assert after.endswith(pieces[1])
    assert verdict.detail.to_pylist()[0].startswith("9 passages of gsm8k; the first at character ")


def test_only_fields_that_are_asked_and_answered_count(tasks):
    whole = prose(1) + " one two three four five six seven eight nine " + prose(2)
    assert judged(whole, tasks)[1] == [None]
    assert judged(whole, tasks, fields={"gsm8k": ["level"]}, mode="drop")[1] == ["contaminated"]


def test_short_documents_and_many_pieces_are_dropped(tasks):
    assert judged(f"Look: {QUESTION}", tasks)[1] == ["contaminated"]
    many = " ".join(f"{prose(n)}. {prose(n + 50)}. {QUESTION}." for n in range(12))
    assert judged(many, tasks, cut_characters=0)[1] == ["contaminated_in_too_many_places"]
    assert len(judged(many, tasks, cut_characters=0, max_splits=20)[0]) == 12


def test_a_document_without_a_passage_stays_as_it_is(tasks):
    assert judged("short and clean", tasks)[:2] == (["short and clean"], [None])


def test_texts_shorter_than_an_ngram_count_whole(tmp_path):
    short = {"x": write_jsonl(tmp_path / "x.jsonl", [{"q": "One two three four five six seven eight"}])}
    assert judged("And one two, three four five: six seven eight nine!", short, mode="drop")[1] == ["contaminated"]
    with pytest.raises(InputError, match=r"tasks.x=.*holds no text of at least 9 words"):
        build(Decontaminate(tasks=short, min_ngram=9))


def test_common_passages_stay(tasks, tmp_path):
    rows = [{"text": f"{prose(n)} {QUESTION} {prose(n + 50)}"} for n in range(4)]
    rows += [{"text": prose(200)}]
    source = write_jsonl(tmp_path / "in" / "0.jsonl", rows[:3]).parent
    write_jsonl(source / "1.jsonl", rows[3:])
    words = ["decontaminate", f"input={source}", f"tasks={{gsm8k: {tasks['gsm8k']}}}", "workers=1"]
    assert main([*words, f"output={tmp_path / 'common'}", "max_matches=3"]) == 0
    assert [row["text"] for row in read_folder(tmp_path / "common" / "data")] == [row["text"] for row in rows]
    assert main([*words, f"output={tmp_path / 'rare'}", "max_matches=4"]) == 0
    kept = read_folder(tmp_path / "rare" / "data")
    assert not any("Natalia" in row["text"] for row in kept)
    assert not list(tmp_path.glob(".*matches*"))
    again = tmp_path / "common" / "common.json"
    assert main([*words, f"output={tmp_path / 'again'}", f"common={again}"]) == 0
    assert len(read_folder(tmp_path / "again" / "data")) == 5


def test_what_is_wrong_is_named(tasks, tmp_path):
    with pytest.raises(ConfigError, match="max_matches needs to know"):
        Decontaminate(tasks=tasks).open()
    with pytest.raises(ConfigError, match="name at least one evaluation set"):
        Decontaminate()
    with pytest.raises(ConfigError, match="min_ngram=8 is above ngram=5"):
        Decontaminate(tasks=tasks, ngram=5)
    with pytest.raises(InputError, match=r"none of the fields prompt is in its records, which have question"):
        judged("x", tasks, fields={"gsm8k": ["prompt"]})
    bad = {"bad": write_jsonl(tmp_path / "bad.jsonl", ["{"])}
    with pytest.raises(InputError, match=r"bad.jsonl:1: not JSON"):
        judged("x", bad)
