"""The server as a process of its own: ready line, signals, restart; and `ask`, which lives on it."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from nemo_core.foundation import artifact
from nemo_deploy.ask.run import TIMINGS, TRANSCRIPT
from nemo_deploy.ask.server import command_line, first_line
from nemo_deploy.cli import main

START_S = 120


@contextmanager
def process(*words):
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    running = subprocess.Popen(command_line(*words), **pipes)
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def test_ready_line_kill_and_restart_on_the_same_port_then_drain_on_sigterm(tiny_model, client_at):
    with process(tiny_model, "threads=1") as first:
        said = json.loads(first_line(first, timeout_s=START_S))
        assert (said["ready"], said["model"], said["pid"]) == (True, "tiny-llama", first.pid)
        first.kill()
        first.wait()
    port = said["url"].rsplit(":", 1)[1]
    with process(tiny_model, "threads=1", f"port={port}") as second:
        assert json.loads(first_line(second, timeout_s=START_S))["url"] == said["url"]
        client = client_at(said["url"])
        body = {"prompt": "Wrap", "max_tokens": 120, "ignore_eos": True, "seed": 1, "stream": True}
        with ThreadPoolExecutor(1) as pool:
            connection = client.connect()
            connection.request("POST", "/v1/completions", json.dumps(body))
            reply = connection.getresponse()
            rest = pool.submit(reply.read)
            second.send_signal(signal.SIGTERM)
            assert rest.result().endswith(b"data: [DONE]\n\n")
        assert second.wait(60) == 0
        assert second.stderr.read() == b""


@pytest.mark.slow
def test_it_ends_with_the_program_that_started_it(tiny_model):
    with process(tiny_model, "threads=1") as running:
        first_line(running, timeout_s=START_S)
        running.stdin.close()
        assert running.wait(60) == 0


@pytest.mark.slow
def test_ctrl_c_ends_it_cleanly(tiny_model):
    with process(tiny_model, "threads=1") as running:
        first_line(running, timeout_s=START_S)
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0


def ask(tmp_path, tiny_model, *words):
    return main(["ask", f"model={tiny_model}", f"output={tmp_path / 'answers'}", "max_tokens=12", *words])


def test_ask_keeps_a_transcript_and_leaves_no_server_behind(tiny_model, tmp_path, capsys):
    (tmp_path / "more.txt").write_text("What is json?\n\nWas ist Grüße?\n", encoding="utf-8")
    words = ("question=What is textwrap?", f"questions={tmp_path / 'more.txt'}")
    assert ask(tmp_path, tiny_model, *words) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["question"], result["questions"], result["model"]) == ("What is textwrap?", 3, "tiny-llama")
    assert result["time_to_first_token_ms"] > 0
    manifest = artifact.read(tmp_path / "answers", "endpoint")
    assert manifest.stats["answer"] == result["answer"]
    rows = [json.loads(line) for line in (tmp_path / "answers" / TRANSCRIPT).read_text().splitlines()]
    assert [row["question"] for row in rows] == ["What is textwrap?", "What is json?", "Was ist Grüße?"]
    described = json.loads((tmp_path / "answers" / "endpoint.json").read_text())
    assert (tmp_path / "answers" / described["model"]).resolve() == tiny_model.resolve()
    assert all(f"serve\0{tiny_model}" not in line for line in command_lines())


def command_lines():
    if not os.path.isdir("/proc"):
        return []
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_ask_continues_where_it_was_cut_off_and_gives_the_same_digest(tiny_model, tmp_path):
    words = ("question=[one, two, three]",)
    assert ask(tmp_path, tiny_model, *words) == 0
    whole = artifact.load_manifest(tmp_path / "answers")
    lines = (tmp_path / "answers" / TRANSCRIPT).read_text().splitlines(keepends=True)
    (tmp_path / "answers").rename(tmp_path / "first")
    with (
        pytest.raises(KeyboardInterrupt),
        artifact.create(
            tmp_path / "answers",
            kind="endpoint",
            package="nemo-deploy",
            config=whole.config,
            inputs={"model": tiny_model},
        ) as draft,
    ):
        (draft.path / "logs").mkdir()
        (draft.path / TRANSCRIPT).write_text(lines[0] + lines[1] + lines[2][:20])
        (draft.path / TIMINGS).write_text((tmp_path / "first" / TIMINGS).read_text())
        raise KeyboardInterrupt
    assert ask(tmp_path, tiny_model, *words) == 0
    assert artifact.load_manifest(tmp_path / "answers").digest == whole.digest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing to ask: set question="),
        (("questions=/no/such",), "questions: /no/such cannot be read"),
        (("question=hi", "temperature=9"), "temperature: expected `float` <= 2.0"),
    ],
)
def test_ask_explains_bad_settings(tiny_model, tmp_path, capsys, words, message):
    assert ask(tmp_path, tiny_model, *words) == 2
    assert message in capsys.readouterr().err


def test_ask_says_what_the_server_says(tiny_model, tmp_path, capsys):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text((tiny_model / "config.json").read_text())
    assert main(["ask", f"model={broken}", f"output={tmp_path / 'out'}", "question=hi"]) == 2
    assert "neither model.safetensors nor" in capsys.readouterr().err


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys; from nemo_deploy.cli import main; main(['--help']); main(['serve', '--help']);"
        "print([m for m in ('torch', 'numpy', 'starlette', 'uvicorn', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "max_slots" in done.stdout
