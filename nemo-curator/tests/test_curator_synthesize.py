"""Questions have answers that name their subject; poor answers are poor by a rule."""

import json
from random import Random

import pytest

from nemo_curator import curate
from nemo_curator.cli import main
from nemo_curator.foundation import artifact
from nemo_curator.synthesize.faults import FAULTS, cut_off, looping, off_subject, rambling
from nemo_curator.synthesize.sentences import leads_of, name_subject
from nemo_curator.testing.corpora import prose, write_jsonl


def rows_of(folder, split):
    return [json.loads(line) for line in (folder / f"data/{split}.jsonl").read_text().splitlines()]


@pytest.fixture
def documents(tmp_path):
    rows = [
        {"title": f"thing{n}", "text": f"thing{n}\n\nMakes the number {n} out of two others. More."} for n in range(150)
    ]
    rows += [{"text": f"Town number {n} lies on the river and has a mill. {prose(n)}"} for n in range(20)]
    write_jsonl(tmp_path / "in/a.jsonl", rows)
    curate(tmp_path / "in", tmp_path / "documents", pipeline=["repair"], workers=1)
    return tmp_path / "documents"


@pytest.fixture
def questions(documents, tmp_path):
    assert main(["questions", f"documents={documents}", f"output={tmp_path}/questions"]) == 0
    return tmp_path / "questions"


def test_answers_name_their_subject_and_end_in_a_full_stop(questions):
    rows = rows_of(questions, "train") + rows_of(questions, "validation")
    for row in rows:
        question, answer = (message["content"] for message in row["messages"])
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        assert row["subject"] in question
        assert answer.startswith(row["subject"])
        assert answer.endswith(".")
        assert "\n" not in answer
    by_question = {row["messages"][0]["content"]: row["messages"][1]["content"] for row in rows}
    assert by_question["What is thing7?"] == "thing7: Makes the number 7 out of two others."
    assert by_question["Complete: Town number 3 lies"] == "Town number 3 lies on the river and has a mill."


def test_no_document_is_in_both_splits(questions):
    train, validation = ({row["source"] for row in rows_of(questions, split)} for split in ("train", "validation"))
    assert not train & validation
    assert 5 <= len(validation) <= 25
    assert len(train | validation) == 170
    assert len(rows_of(questions, "validation")) == len(validation)


def test_rows_and_splits_are_the_same_every_time(documents, questions, tmp_path):
    assert main(["questions", f"documents={documents}", f"output={tmp_path}/again"]) == 0
    first, second = (artifact.read(path, "conversations") for path in (questions, tmp_path / "again"))
    assert first.digest == second.digest
    assert first.stats == second.stats


@pytest.mark.parametrize(
    ("text", "sentence", "fault"),
    [
        ("T\n\nReturn the `thing` in question. Then stop.", "Return the thing in question.", None),
        ("T\n\nf(x) -> y\n\nReturn some thing, e.g. This one. And so on.", "Return some thing, e.g. This one.", None),
        ("T\n\nNo full stop here", "No full stop here.", None),
        ("T\n\nTwo words.", "Two words.", "lead_too_short"),
        ("T\n\n" + "many words " * 20, None, "lead_too_long"),
        ("T\n\nAn open (bracket is left here.", None, "lead_unbalanced"),
        ("T\n\n== 12 ++ 34 -- 56 == ==", None, "lead_not_prose"),
        ("T", "", "no_prose"),
    ],
)
def test_lead_sentences(text, sentence, fault):
    lead = next(leads_of(text, "T", min_words=3, max_words=25))
    assert lead.fault == fault
    if sentence is not None:
        assert lead.sentence == sentence


def test_a_sentence_that_names_its_subject_is_left_as_it_is():
    assert name_subject("Rivers run to the sea.", "rivers") == "Rivers run to the sea."
    assert name_subject("run to the sea.", "Rivers") == "Rivers: Run to the sea."


def test_common_answers_are_not_asked_for_again(tmp_path, capsys):
    write_jsonl(
        tmp_path / "in/a.jsonl", [{"title": f"t{n}", "text": "Initialise the object itself."} for n in range(10)]
    )
    curate(tmp_path / "in", tmp_path / "documents", pipeline=["repair"], workers=1)
    words = ["questions", f"documents={tmp_path}/documents", f"output={tmp_path}/q", "max_uses=3", "phrasings=1"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == {"lead_too_common": 7}


@pytest.mark.parametrize("count", [2, 3])
def test_a_handful_of_documents_still_holds_out_one(count, tmp_path, capsys):
    rows = [{"title": f"thing{n}", "text": f"thing{n}\n\nMakes the number {n} of two others."} for n in range(count)]
    write_jsonl(tmp_path / "in/a.jsonl", rows)
    curate(tmp_path / "in", tmp_path / "documents", pipeline=["repair"], workers=1)
    for words in ("documents output=q", "documents output=all validation_share=0"):
        assert (
            main(["questions", *f"documents={tmp_path}/{words}".replace("output=", f"output={tmp_path}/").split()]) == 0
        )
    train, held = rows_of(tmp_path / "q", "train"), rows_of(tmp_path / "q", "validation")
    assert len(held) == 1
    assert held[0]["source"] not in {row["source"] for row in train}
    assert len({row["source"] for row in train}) == count - 1
    assert rows_of(tmp_path / "all", "validation") == []


def test_a_single_held_out_question_gets_its_poor_answers_from_the_others(tmp_path):
    rows = [{"title": f"thing{n}", "text": f"thing{n}\n\nMakes the number {n} of two others."} for n in range(3)]
    write_jsonl(tmp_path / "in/a.jsonl", rows)
    curate(tmp_path / "in", tmp_path / "documents", pipeline=["repair"], workers=1)
    assert main(["questions", f"documents={tmp_path}/documents", f"output={tmp_path}/q"]) == 0
    assert main(["preferences", f"conversations={tmp_path}/q", f"output={tmp_path}/p", "per_question=4"]) == 0
    (held,) = rows_of(tmp_path / "q", "validation")
    poor = rows_of(tmp_path / "p", "validation")
    assert poor and {row["subject"] for row in poor} == {held["subject"]}


def test_documents_without_a_sentence_give_a_clear_error(tmp_path, capsys):
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": "x"}, {"text": "y"}])
    curate(tmp_path / "in", tmp_path / "documents", pipeline=["repair"], workers=1)
    assert main(["questions", f"documents={tmp_path}/documents", f"output={tmp_path}/q"]) == 2
    error = capsys.readouterr().err
    assert "no question could be derived" in error
    assert "lead_too_short" in error
    assert not (tmp_path / "q").exists()


def test_questions_want_documents(questions, tmp_path, capsys):
    assert main(["questions", f"documents={questions}", f"output={tmp_path}/q"]) == 2
    assert "holds 'conversations', but 'documents' is needed here" in capsys.readouterr().err


def test_word_limits_that_contradict_are_refused(tmp_path, capsys):
    assert main(["questions", "documents=d", "output=q", "min_words=9", "max_words=4"]) == 2
    assert "min_words=9 is above max_words=4" in capsys.readouterr().err


def test_preferences_set_the_answer_beside_a_poor_one(questions, tmp_path, capsys):
    words = ["preferences", f"conversations={questions}", "seed=3"]
    assert main([*words, f"output={tmp_path}/p"]) == 0
    faults = json.loads(capsys.readouterr().out.splitlines()[-1])["faults"]
    assert min(faults.values()) > 0.15 * sum(faults.values())
    for split in ("train", "validation"):
        chosen = {row["messages"][0]["content"]: row["messages"][1]["content"] for row in rows_of(questions, split)}
        for row in rows_of(tmp_path / "p", split):
            assert set(row) == {"id", "subject", "prompt", "chosen", "rejected", "source"}
            assert row["chosen"][0]["content"] == chosen[row["prompt"][-1]["content"]]
            assert row["rejected"][0]["content"] != row["chosen"][0]["content"]
    assert main([*words, f"output={tmp_path}/again"]) == 0
    assert (
        artifact.read(tmp_path / "p", "preferences").digest == artifact.read(tmp_path / "again", "preferences").digest
    )
    assert main(["preferences", f"conversations={questions}", "seed=4", f"output={tmp_path}/other"]) == 0
    assert (
        artifact.read(tmp_path / "p", "preferences").digest != artifact.read(tmp_path / "other", "preferences").digest
    )


ANSWER = "river: Runs through the valley to the sea."
OTHERS = ["mill: Grinds the corn of the farms.", "town: Lies on the bank of the river.", "boat: Carries the flour."]


def test_each_fault_is_what_it_says():
    for seed in range(50):
        random = Random(seed)
        assert ANSWER.startswith(cut_off(ANSWER, OTHERS, random))
        assert not cut_off(ANSWER, OTHERS, random).endswith(".")
        words = looping(ANSWER, OTHERS, random).split()
        assert len(words) > len(set(words)) + 4
        long = rambling(ANSWER, OTHERS, random)
        assert long.startswith(ANSWER + " ")
        assert any(long.endswith(other) for other in OTHERS)
        assert off_subject(ANSWER, OTHERS, random) in OTHERS
    assert set(FAULTS) == {"cut_off", "looping", "rambling", "off_subject"}


def test_one_subject_alone_cannot_be_preferred(tmp_path, capsys):
    write_jsonl(tmp_path / "in/a.jsonl", [{"title": "t", "text": "Initialise the object itself."}])
    curate(tmp_path / "in", tmp_path / "documents", pipeline=["repair"], workers=1)
    assert main(["questions", f"documents={tmp_path}/documents", f"output={tmp_path}/q"]) == 0
    assert main(["preferences", f"conversations={tmp_path}/q", f"output={tmp_path}/p"]) == 2
    assert "needs two different subjects" in capsys.readouterr().err


def test_where_every_page_begins_alike_its_own_first_sentence_is_the_answer(tmp_path, capsys):
    own = [f"Module number {number} counts the sheep of field {number} at night." for number in range(12)]
    rows = [
        {"text": f"Skip to the main content of this page.\n\n{sentence}\n\n{prose(number)}", "title": f"module{number}"}
        for number, sentence in enumerate(own)
    ]
    write_jsonl(tmp_path / "pages.jsonl", rows)
    curate(tmp_path / "pages.jsonl", tmp_path / "documents", pipeline=["repair"])
    assert main(["questions", f"documents={tmp_path / 'documents'}", f"output={tmp_path / 'questions'}"]) == 0
    lines = "".join(path.read_text() for path in sorted((tmp_path / "questions/data").glob("*.jsonl")))
    assert sum(sentence in lines for sentence in own) >= len(own) - 3
