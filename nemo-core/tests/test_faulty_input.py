"""Damaged data, notes and settings end with one message, and never take a run's work or an input with them."""

import json
import os
import shutil
import signal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nemo_core.cli import main
from nemo_core.data.documents import Lines
from nemo_core.data.encode import EncodeRequest, encode_all
from nemo_core.foundation import artifact, atomic, settings
from nemo_core.foundation.errors import ConfigError, InputError, RetryableError
from nemo_core.inference.answers import AnswerLog
from nemo_core.train.metrics import MetricsLog, read_metrics
from nemo_core.train.settings import PretrainSettings

DEEP = "[" * 100_000 + "]" * 100_000


def refused(words: list[str], capsys) -> str:
    """What a command says that ends with exit code 2."""
    code = main(words)
    told = capsys.readouterr().err
    assert code == 2, told
    assert "Traceback" not in told
    return told


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (DEEP, "documents.jsonl:2: lists or objects lie too deep in one another"),
        ('{"text": "\\ud800"}', "documents.jsonl:2: holds half a surrogate pair"),
        ('{"text": 3}', "documents.jsonl:2: no text under 'text'"),
    ],
)
def test_a_line_that_is_no_document_is_named(tokenizer_folder, tmp_path, capsys, line, message):
    source = tmp_path / "documents.jsonl"
    source.write_text(f'{{"text": "a"}}\n{line}\n')
    words = ["tokenize", f"documents={source}", f"tokenizer={tokenizer_folder}", f"output={tmp_path / 'made'}"]
    assert message in refused([*words, "workers=1"], capsys)


def test_a_damaged_row_group_is_named(tokenizer_folder, tmp_path, capsys):
    source = tmp_path / "documents.parquet"
    pq.write_table(pa.table({"text": [f"text {n}" for n in range(1000)]}), source, compression="none")
    content = bytearray(source.read_bytes())
    content[4:40] = b"\xff" * 36
    source.write_bytes(content)
    words = ["tokenize", f"documents={source}", f"tokenizer={tokenizer_folder}", f"output={tmp_path / 'made'}"]
    assert "documents.parquet: row group 0 is damaged" in refused([*words, "workers=1"], capsys)


@pytest.mark.parametrize("link", ["loop", "folder"])
def test_links_in_a_circle_and_folders_in_place_of_files_are_named(pretrained, tmp_path, capsys, link):
    pairs = tmp_path / "pairs.jsonl"
    pairs.symlink_to(pairs.name) if link == "loop" else pairs.mkdir()
    words = ["train-embedding", f"model={pretrained}", f"pairs={pairs}", f"output={tmp_path / 'made'}"]
    assert "pairs.jsonl" in refused(words, capsys)
    assert not (tmp_path / "made.partial").exists()


@pytest.mark.parametrize("command", ["embed", "generate"])
def test_no_command_writes_over_its_input(pretrained, tmp_path, capsys, command):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a", "prompt": "a"}\n')
    given = {"embed": "texts", "generate": "prompts"}[command]
    words = [command, f"model={pretrained}", f"{given}={rows}", f"output={rows}", "threads=1", "overwrite=true"]
    assert f"is or holds {given}=" in refused(words, capsys)
    assert rows.read_text() == '{"text": "a", "prompt": "a"}\n'
    taken = tmp_path / "taken.jsonl"
    taken.write_text("mine")
    assert "exists already" in refused([*words[:3], f"output={taken}", "threads=1"], capsys)
    assert taken.read_text() == "mine"


def test_a_file_of_the_name_of_a_log_is_left_as_it_is(tmp_path):
    (tmp_path / "a.jsonl.partial").write_text("my notes, without a line break at the end")
    with pytest.raises(InputError, match="in the way, and not made by this command"):
        AnswerLog(tmp_path / "a.jsonl", identity="one")
    assert (tmp_path / "a.jsonl.partial").read_text() == "my notes, without a line break at the end"


def test_a_damaged_line_of_a_log_is_named(tmp_path):
    log = AnswerLog(tmp_path / "a.jsonl", identity="one")
    log.add(0, {"text": "b"})
    log.close()
    with open(log.path, "a") as handle:
        handle.write('{"number": "x"}\n')
    with pytest.raises(InputError, match=r"a\.jsonl\.partial:3: damaged; remove this file to begin again"):
        AnswerLog(tmp_path / "a.jsonl", identity="one")


def test_a_damaged_note_of_tokenizing_begins_again(documents, tokenizer_folder, tokens, tmp_path, capsys):
    words = ["tokenize", f"documents={documents}", f"tokenizer={tokenizer_folder}", "validation_share=0.1"]
    words += ["workers=1", f"output={tmp_path / 'made'}"]
    assert main(words) == 0
    partial = tmp_path / "made.partial"
    shutil.move(tmp_path / "made", partial)
    manifest = json.loads((partial / "manifest.json").read_text())
    work = artifact.work_of(
        "tokens",
        manifest["config"],
        manifest["inputs"],
    )
    note = json.dumps({"identity": artifact.digest_of(work), "work": work})
    (partial / artifact.PROGRESS_NOTE).write_text(note)
    (partial / ".tokenize.json").write_bytes(b"\xff\xfe")
    (partial / ".config.json.99999999.partial").write_text("torn")
    assert main(words) == 0
    assert ".tokenize.json: damaged" in capsys.readouterr().err
    assert (tmp_path / "made/train.bin").read_bytes() == (tokens / "train.bin").read_bytes()
    assert not list((tmp_path / "made").glob(".*99999999*"))


def test_figures_that_are_damaged_end_no_run(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n\xff\n[]\n{"step": "x"}\n{"step": 2}\n{"step": 3}\n{"st')
    with MetricsLog(tmp_path, resumed_at=2, tensorboard=False) as log:
        log.log(3, loss=1.0)
    assert list(read_metrics(tmp_path / "metrics.jsonl")) == [{"step": 1}, {"step": 2}, {"step": 3, "loss": 1.0}]


def test_what_killed_writers_left_goes_and_what_a_running_one_writes_stays(tmp_path):
    dead, alive = tmp_path / ".a.npy.99999999.partial", tmp_path / ".a.npy.1.partial"
    for path in (dead, alive):
        path.write_text("half")
    artifact.check_output_file(tmp_path / "a.npy", {}, overwrite=False)
    assert not dead.exists()
    assert alive.exists()


def test_a_lock_whose_file_was_removed_meanwhile_is_made_anew(tmp_path):
    path = tmp_path / "lock"
    with atomic.locked(path):
        with pytest.raises(BlockingIOError), atomic.locked(path):
            pytest.fail("two hold the same lock")
        path.unlink()  # as one does that ends
        with atomic.locked(path):
            assert path.is_file()


def test_settings_that_differ_from_those_of_a_state_are_named(tiny_words, tmp_path, capsys, monkeypatch):
    words = ["pretrain", *tiny_words, f"output={tmp_path / 'model'}"]
    real = MetricsLog.log

    def stopping(self, step, **values):
        real(self, step, **values)
        if step == 3:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "log", stopping)
        assert main(words) == 75
    capsys.readouterr()
    again = [word for word in words if not word.startswith(("steps=", "threads="))]
    told = refused([*again, "steps=13", "threads=2", "optimizer.beta1=0.8"], capsys)
    assert "state after step 3 of a run with other settings or inputs" in told
    assert "steps was 12, is 13; optimizer.beta1 was 0.9, is 0.8" in told
    assert "threads" not in told
    assert main([*again, "steps=12", "threads=1", "micro_batch_size=2"]) == 0


class Dying(Lines):
    """A portion that takes its process with it."""

    def documents(self, text_field):
        os._exit(9)


def test_a_process_that_encodes_and_dies_is_named(tokenizer_folder, tmp_path):
    request = EncodeRequest(tokenizer=tokenizer_folder, text_field="text", seed=0, threshold=0)
    with pytest.raises(RetryableError, match="one of the 2 processes that encode died"):
        list(encode_all([Dying(tmp_path, [])], request, workers=2))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("steps=1e3", "steps: expected `int`, got `float` 1000.0; write 1000"),
        ("save_every_s=10m", "got `str` '10m'; write the number alone, without unit"),
        ("optimizer=adamw", "it has settings of its own: optimizer.kind, "),
        ("data=tokens", "expected `array`, got `str` 'tokens'; write data=[{tokens: ..."),
        (
            "data=[{tokens: a, wieght: 1}]",
            "unknown field `wieght`; did you mean 'weight'? (known here: tokens, weight)",
        ),
    ],
)
def test_likely_slips_are_answered_with_what_was_meant(word, message):
    with pytest.raises(ConfigError) as error:
        settings.load(PretrainSettings, None, ["output=a", word])
    assert message in str(error.value)
