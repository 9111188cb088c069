"""The command line: what it prints, where, and the exit code it ends with."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta

from nemo_core.foundation import atomic, command
from nemo_core.foundation.command import Command, Program, Stage, StageInput
from nemo_core.foundation.contract import contracts
from nemo_core.foundation.errors import DiskFull, MissingBackend, Preempted, UserError


@dataclass(frozen=True, kw_only=True)
class Greeting:
    name: Annotated[str, Meta(description="whom to greet")]
    times: Annotated[int, Meta(ge=1, description="how often")] = 1


def greet(settings: Greeting) -> dict[str, str]:
    known = {
        "wrong": UserError("no"),
        "late": Preempted("later"),
        "odd": ValueError("defect"),
        "stop": KeyboardInterrupt(),
    }
    if settings.name in known:
        raise known[settings.name]
    return {"said": f"hello {settings.name}"}


HERE = f"{__name__}:"


@pytest.fixture
def program(monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or type(sys)(__name__))
    sys.modules[__name__].__dict__.update(Greeting=Greeting, greet=greet)
    return Program(
        package="nemo-core",
        summary="Says hello.",
        commands=(
            Command(
                name="greet",
                summary="greet someone",
                settings=f"{HERE}Greeting",
                run=f"{HERE}greet",
                examples=("nemo-core greet name=Ada",),
                stage=Stage(inputs={"name": StageInput(kinds=("documents",))}, output="tokens"),
            ),
        ),
    )


def test_result_is_one_json_line(program, capsys):
    assert command.main(program, ["greet", "name=Ada"]) == 0
    assert json.loads(capsys.readouterr().out) == {"said": "hello Ada"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["greet", "name=wrong"], 2, "error: no"),
        (["greet", "name=late"], 75, "error: later"),
        (["greet", "name=stop"], 130, "the same command continues"),
        (["greet", "name=odd"], 1, "please report"),
        (["greet", "nmae=Ada"], 2, "did you mean 'name'"),
        (["greet", "name=Ada", "times=0"], 2, "times: expected `int` >= 1"),
        (["gret"], 2, "did you mean 'greet'"),
        (["greet", "pages.warc"], 2, "pages.warc: no recipe (a YAML file); name what it is, as key=value"),
        (["greet", "."], 2, "no recipe (a YAML file)"),
        ([], 2, ""),
    ],
)
def test_exit_codes_and_messages(program, capsys, words, code, message):
    assert command.main(program, words) == code
    assert message in capsys.readouterr().err


def test_help_shows_commands_settings_and_examples(program, capsys):
    assert command.main(program, ["--help"]) == 0
    assert "greet someone" in capsys.readouterr().out
    assert command.main(program, ["greet", "--help"]) == 0
    manual = capsys.readouterr().out
    assert "whom to greet [str; required]" in manual
    assert "nemo-core greet name=Ada" in manual


def test_built_in_commands_have_help_too(program, capsys):
    assert command.main(program, ["schema", "--help"]) == 0
    assert "usage: nemo-core schema [command]" in capsys.readouterr().out


def test_a_result_is_whole_json_where_the_encoding_has_no_umlauts(capfdbinary):
    code = "from nemo_core.foundation.command import emit, mark_unspeakable as mark\n"
    code += "mark(); emit({'a': '\\xfc'}); print('\\u2588')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert capfdbinary.readouterr().out.splitlines() == [b'{"a": "\\u00fc"}', b"?"]


def test_long_records_in_a_result_are_shown_one_value_a_line():
    lines = command.aligned({"output": "documents", "dropped": {"a": 1, "bb": 2, "ccc": 3, "d": 4}})
    assert [*lines] == ["output   documents", "dropped", "  a    1", "  bb   2", "  ccc  3", "  d    4"]


def test_progress_in_a_log_is_whole_lines(monkeypatch, capsys):
    from nemo_core.foundation import progress

    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    bar = progress.Progress("curate", total=3, unit="shards")
    bar._bar.delay = 0.0
    with bar:
        for _ in range(3):
            bar.advance(note="one shard")
    lines = capsys.readouterr().err.splitlines()
    assert "\r" not in "".join(lines)
    assert lines[-1].startswith("curate: 100%, 3 of 3 in ") and lines[-1].endswith(", one shard")


def test_print_config_runs_nothing(program, capsys):
    assert command.main(program, ["greet", "name=wrong", "--print-config"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "wrong", "times": 1}


def test_contract_carries_what_a_launcher_needs(program):
    (contract,) = contracts(program).values()
    assert contract["argv"] == ["{python}", "-m", "nemo_core", "greet", "{config}"]
    assert contract["inputs"] == {"name": {"kinds": ["documents"], "required": True, "external": False}}
    assert contract["config_schema"]["$defs"]["Greeting"]["properties"]["times"]["minimum"] == 1


def test_missing_library_names_the_extra():
    from nemo_core.foundation.backend import Backend, load_backend

    table = {"odd": Backend(module="absent_library_for_test.engine", extra="odd")}
    with pytest.raises(ModuleNotFoundError):
        load_backend("engine", "odd", table, package="nemo-core")
    with pytest.raises(UserError, match=r"unknown engine 'od'; one of odd; did you mean 'odd'\?"):
        load_backend("engine", "od", table, package="nemo-core")


def test_backend_whose_library_is_missing(tmp_path, monkeypatch):
    (tmp_path / "backend_for_test.py").write_text("import absent_library_for_test\n")
    monkeypatch.syspath_prepend(tmp_path)
    from nemo_core.foundation.backend import Backend, load_backend

    table = {"odd": Backend(module="backend_for_test", extra="odd")}
    with pytest.raises(
        MissingBackend, match=r"needs the library 'absent_library_for_test': pip install 'nemo-core\[odd\]'"
    ):
        load_backend("engine", "odd", table, package="nemo-core")


def test_full_disk_is_named_and_leaves_nothing(tmp_path):
    with (
        pytest.raises(DiskFull, match=r"no space left while writing .*weights.bin; free some room"),
        atomic.atomic_file(tmp_path / "weights.bin") as handle,
    ):
        handle.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("redirected", "code", "message"),
    [
        ("> /dev/full", 75, "no space left on standard output"),
        (">&-", 0, ""),
        ("2>&- | (exec <&-; cat < /dev/null)", 0, ""),
        ("| (exec <&-; cat < /dev/null)", 0, ""),
    ],
)
def test_streams_that_are_closed_full_or_not_read_are_no_defect(redirected, code, message):
    line = f"set -o pipefail; {sys.executable} -m nemo_core schema tokenizer {redirected}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_and_version_work_as_processes_and_load_nothing_heavy():
    code = (
        "import sys; from nemo_core.cli import main; main(['--help']);"
        "print([m for m in ('torch', 'numpy', 'yaml', 'msgspec') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    version = subprocess.run(
        [sys.executable, "-m", "nemo_core", "--version"], capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("nemo-core ")
    assert Path(sys.executable).exists()
