"""dev.py needs nothing but Python, and where it cannot go on says why in one sentence."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def dev():
    spec = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_dev(*words, script=ROOT / "dev.py", **environment):
    return subprocess.run(
        [sys.executable, str(script), *words], capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_an_old_python_can_read_the_file_as_far_as_its_refusal():
    ast.parse((ROOT / "dev.py").read_text(), feature_version=(3, 6))


def test_an_old_python_is_refused_in_one_sentence(dev, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    assert dev.refusal().startswith("Python 3.11 or newer is needed and this is 3.9: install a newer one")
    assert "\n" not in dev.refusal()


def test_a_missing_venv_module_is_named_with_the_debian_package(dev, monkeypatch):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    version = "{}.{}".format(*sys.version_info[:2])
    assert f"apt install python{version}-venv" in dev.refusal()


def test_this_python_is_accepted(dev):
    assert dev.refusal() == ""


def test_help_lists_every_session_with_a_line_about_it(dev):
    done = run_dev("--help")
    assert done.returncode == 0
    names = [name for name, _, _ in dev.sessions()]
    assert {"quickstart", "tests", "integration", "build", "smoke", "lint", "imports", "typing"} <= set(names)
    for name, about, _ in dev.sessions():
        assert about.endswith("."), name
        assert f"  {name} " in done.stdout and about in done.stdout


def test_no_session_shows_the_help_and_fails():
    done = run_dev()
    assert done.returncode == 2 and "sessions:" in done.stdout


def test_an_unknown_session_is_answered_with_the_known_ones():
    done = run_dev("test")
    assert done.returncode != 0
    assert "unknown session 'test'; one of quickstart, tests," in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tests"], ["-s", "tests"]),
        (["tests", "core"], ["-s", "tests(core)"]),
        (["tests", "nemo-core", "-k", "lora"], ["-s", "tests(core)", "--", "-k", "lora"]),
        (["tests(core)"], ["-s", "tests(core)"]),
        (["tests", "-x"], ["-s", "tests", "--", "-x"]),
        (["quickstart", "input=/data"], ["-s", "quickstart", "--", "input=/data"]),
        (["bench", "core"], ["-s", "bench", "--", "core"]),
    ],
)
def test_words_become_nox_arguments(dev, words, expected):
    assert dev.nox_words(words) == expected


@pytest.mark.slow
def test_a_failed_download_says_what_to_do_and_leaves_no_half_made_environment_behind(tmp_path):
    shutil.copy(ROOT / "dev.py", tmp_path)
    shutil.copy(ROOT / "noxfile.py", tmp_path)
    done = run_dev("tests", script=tmp_path / "dev.py", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert "could not install nox and uv" in done.stderr and "PIP_INDEX_URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".dev/ready").exists()
