"""An artifact appears whole or not at all, and a reader is told exactly what is wrong with it."""

import json
import os
from pathlib import Path

import pytest

from nemo_core.foundation import artifact
from nemo_core.foundation.errors import ArtifactError


def make(output: Path, text: str = "hello", *, config: dict | None = None, **extra) -> None:
    with artifact.create(output, kind="documents", package="nemo-core", config=config or {"a": 1}, **extra) as draft:
        (draft.path / "data.txt").write_text(text)
        (draft.path / "metrics.jsonl").write_text(json.dumps({"seconds": os.urandom(4).hex()}))
        draft.stats["documents"] = 1


def test_round_trip_and_digest_ignores_logs(tmp_path):
    make(tmp_path / "a")
    make(tmp_path / "b")
    first, second = artifact.read(tmp_path / "a", "documents"), artifact.read(tmp_path / "b", "documents")
    assert first.digest == second.digest
    assert first.stats == {"documents": 1}
    assert {f.path: f.role for f in first.files} == {"data.txt": "data", "metrics.jsonl": "log"}


def test_failure_leaves_no_artifact_and_the_same_run_continues(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        artifact.create(tmp_path / "a", kind="documents", package="nemo-core", config={"a": 1}) as draft,
    ):
        (draft.path / "part").write_text("half")
        1 / 0  # noqa: B018
    assert not (tmp_path / "a").exists()
    with artifact.create(tmp_path / "a", kind="documents", package="nemo-core", config={"a": 1}) as draft:
        assert draft.resumed
        assert (draft.path / "part").read_text() == "half"


def test_other_settings_start_afresh(tmp_path):
    (tmp_path / "a.partial").mkdir()
    (tmp_path / "a.partial" / artifact.PROGRESS_NOTE).write_text(json.dumps({"identity": "other"}))
    (tmp_path / "a.partial" / "old").write_text("old")
    make(tmp_path / "a")
    assert not (tmp_path / "a" / "old").exists()


def test_a_foreign_folder_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "a.partial").mkdir()
    (tmp_path / "a.partial" / "precious").write_text("mine")
    with pytest.raises(ArtifactError, match="in the way"):
        make(tmp_path / "a")
    assert (tmp_path / "a.partial" / "precious").read_text() == "mine"


def test_existing_output_is_kept_unless_told(tmp_path):
    make(tmp_path / "a", "one")
    with pytest.raises(ArtifactError, match="exists already"):
        make(tmp_path / "a", "two")
    assert (tmp_path / "a/data.txt").read_text() == "one"
    make(tmp_path / "a", "two", overwrite=True)
    assert (tmp_path / "a/data.txt").read_text() == "two"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


def test_an_output_that_is_a_link_to_nothing_is_refused_before_any_work(tmp_path):
    (tmp_path / "a").symlink_to("gone")
    with pytest.raises(ArtifactError, match="a: a link to what is not there; remove the link"):
        make(tmp_path / "a")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda a: (a / "data.txt").unlink(), r"data.txt: listed in manifest.json but missing"),
        (lambda a: (a / "data.txt").write_text("hellp"), r"data.txt: altered since it was written \(SHA-256 differs\)"),
        (lambda a: (a / "data.txt").write_text("hello!"), r"data.txt: altered since it was written \(6 bytes, 5"),
        (lambda a: (a / "manifest.json").unlink(), r"no manifest.json"),
        (lambda a: (a / "manifest.json").write_text("{"), r"not a valid manifest"),
        (lambda a: (a / "manifest.json").write_text('{"schema_version": 99}'), r"schema version 99 is newer"),
    ],
)
def test_damage_is_named(tmp_path, damage, message):
    make(tmp_path / "a")
    damage(tmp_path / "a")
    with pytest.raises(ArtifactError, match=message):
        artifact.read(tmp_path / "a", "documents")


def test_wrong_kind_is_named(tmp_path):
    make(tmp_path / "a")
    with pytest.raises(ArtifactError, match="holds 'documents', but 'tokens' is needed"):
        artifact.read(tmp_path / "a", "tokens")
    with pytest.raises(ArtifactError, match="no such folder"):
        artifact.read(tmp_path / "absent", "tokens")


def test_two_writers_of_one_output_are_refused(tmp_path):
    with (
        artifact.create(tmp_path / "a", kind="documents", package="nemo-core", config={}),
        pytest.raises(ArtifactError, match="another process is writing it"),
    ):
        make(tmp_path / "a", config={})


def test_a_folder_that_is_no_artifact_is_never_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/precious").write_text("mine")
    with pytest.raises(ArtifactError, match=r"is no artifact .*overwrite=true replaces artifacts only"):
        make(tmp_path / "a", overwrite=True)
    assert (tmp_path / "a/precious").read_text() == "mine"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("pages", r"is or holds input=.*pages, and inputs are never replaced"),
        (".", r"is or holds input=.*pages, and inputs are never replaced"),
        ("pages/made", r"lies inside input=.*pages, whose next reader would take it for input"),
    ],
)
def test_an_output_and_an_input_do_not_lie_in_one_another(tmp_path, output, message):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/one.txt").write_text("mine")
    with pytest.raises(ArtifactError, match=message):
        artifact.keep_apart(tmp_path / output, {"input": tmp_path / "pages"})
    artifact.keep_apart(tmp_path / "pages.out", {"input": tmp_path / "pages"})
    artifact.keep_apart(tmp_path / "pages/made", {"input": tmp_path / "pages/one.txt"})
