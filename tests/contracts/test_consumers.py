"""A stage that is handed the wrong folder, or one that was changed, stops at once and names what is wrong with it."""

import json
import shutil

import pytest
from contracts.stages import call, contracts, references, replaced, smallest

from nemo_core.foundation import artifact

STAGES = contracts()
INPUTS = [
    (stage, name)
    for stage, body in sorted(STAGES.items())
    for name, wanted in body["inputs"].items()
    if wanted["kinds"] and references(smallest().get(stage, {}).get(name))
]
each_input = pytest.mark.parametrize(("stage", "name"), INPUTS, ids=[f"{stage}:{name}" for stage, name in INPUTS])


PICKY = [(stage, name) for stage, name in INPUTS if set(STAGES[stage]["inputs"][name]["kinds"]) < set(artifact.KINDS)]
each_picky_input = pytest.mark.parametrize(("stage", "name"), PICKY, ids=[f"{stage}:{name}" for stage, name in PICKY])


def foreign_kind(stage, name):
    """A kind that the input does not take."""
    return next(kind for kind in reversed(artifact.KINDS) if kind not in STAGES[stage]["inputs"][name]["kinds"])


def run_with(workshop, stage, name, folder, place):
    """Run `stage` with the first artifact of its input `name` replaced by `folder`."""
    settings = workshop.settings(stage)
    original = str(workshop.make(references(smallest()[stage][name])[0]))
    settings[name] = replaced(settings[name], lambda text: str(folder) if text == original else text)
    ended = call(stage, {**settings, "output": str(place / "output")}, place / "recipe.yaml")
    assert ended.exit_code == 2, ended.err
    assert "Traceback" not in ended.err
    assert not (place / "output").exists()
    return ended.err


def copy_of(workshop, stage, name, place):
    return shutil.copytree(workshop.make(references(smallest()[stage][name])[0]), place / "input")


def last_data_file(folder):
    return [record.path for record in artifact.load_manifest(folder).files if record.role == "data"][-1]


@each_picky_input
def test_another_kind_is_refused(stage, name, workshop, tmp_path):
    folder, kind = tmp_path / "input", foreign_kind(stage, name)
    with artifact.create(folder, kind=kind, package="nemo-core", config={}) as draft:
        (draft.path / "content").write_bytes(b"content")
    message = run_with(workshop, stage, name, folder, tmp_path)
    assert f"{folder}: holds {kind!r}" in message
    assert any(repr(kind) in message for kind in STAGES[stage]["inputs"][name]["kinds"])


@each_input
def test_a_newer_schema_is_refused(stage, name, workshop, tmp_path):
    folder = copy_of(workshop, stage, name, tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    message = run_with(workshop, stage, name, folder, tmp_path)
    assert f"{folder / 'manifest.json'}: schema version 99 is newer than this package reads" in message


@each_input
def test_a_missing_file_is_named(stage, name, workshop, tmp_path):
    folder = copy_of(workshop, stage, name, tmp_path)
    lost = folder / last_data_file(folder)
    lost.unlink()
    assert f"{lost}: listed in manifest.json but missing" in run_with(workshop, stage, name, folder, tmp_path)


@each_input
def test_an_altered_file_is_named(stage, name, workshop, tmp_path):
    folder = copy_of(workshop, stage, name, tmp_path)
    changed = folder / last_data_file(folder)
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(bytes(content))
    assert f"{changed}: altered since it was written" in run_with(workshop, stage, name, folder, tmp_path)
