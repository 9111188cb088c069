"""An endpoint is asked within limits, once for each answer, and what it says becomes rows that training reads."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nemo_curator import curate
from nemo_curator.cli import main
from nemo_curator.foundation import artifact
from nemo_curator.foundation.errors import ConfigError, InputError, RetryableError
from nemo_curator.synthesize import generate, rewrite
from nemo_curator.synthesize.endpoint.journal import Journal
from nemo_curator.synthesize.endpoint.request import Again, Answer, Reply, Request, Wrong, understand, wait_s
from nemo_curator.synthesize.endpoint.settings import Endpoint, Sampling
from nemo_curator.synthesize.generate_settings import Generate, Reward, Rewrite
from nemo_curator.synthesize.reward import number_in
from nemo_curator.synthesize.rewrite import split
from nemo_curator.synthesize.templates import read_list, templates
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl


def reply_to(body):
    """What the model of these tests says: lists where a list is wanted, else words that only the request decides."""
    said = body["messages"][-1]["content"]
    mark = hashlib.md5(json.dumps(body, sort_keys=True).encode()).hexdigest()[:6]
    if "from 0 (useless) to 10" in said:
        return str(int(mark, 16) % 11)
    if "numbered list" in said:
        count = int(re.search(r"(?:Name|Write) (\d+)", said)[1])
        return "Of course:\n" + "\n".join(f"{n + 1}. **thing {mark} {n}**" for n in range(count))
    return f"An answer that only {mark} gives."


class Model(BaseHTTPRequestHandler):
    """A chat completions endpoint whose faults the server's `faults` choose, by the number of the request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            number = len(server.asked)
            server.asked.append(json.dumps(body, sort_keys=True))
            server.times.append(time.monotonic())
            server.headers.append(dict(self.headers))
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        try:
            server.gate.wait(server.delay_s)
            self.answer(server.faults(number, body), body)
        finally:
            with server.lock:
                server.under_way -= 1

    def answer(self, fault, body):
        text, reason = self.server.reply(body), "stop"
        if fault == "drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if fault == "slow":
            self.server.gate.wait(2)
        if fault == "length":
            reason = "length"
        choice = {
            "message": {"role": "assistant", "content": "" if fault == "empty" else text},
            "finish_reason": reason,
        }
        content = b'{"choices": [' if fault == "broken" else json.dumps({"choices": [choice]}).encode()
        self.send_response(fault if isinstance(fault, int) else 200)
        if fault == 429:
            self.send_header("Retry-After", "0.05")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(faults=lambda number, body: None, *, delay_s=0.0, reply=reply_to):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.daemon_threads = True
    server.lock, server.gate = threading.Lock(), threading.Event()
    server.asked, server.times, server.headers, server.under_way, server.most_under_way = [], [], [], 0, 0
    server.faults, server.delay_s, server.reply = faults, delay_s, reply
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


def endpoint(server, **changes):
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    return Endpoint(**{"base_url": url, "model": "m", "backoff_s": 0.01, "timeout_s": 20, **changes})


def settings(server, output, *, asked=None, **changes):
    base = {"topics": ["rivers", "mills"], "num_subtopics": 2, "per_topic": 2, "validation_share": 0.3}
    return Generate(output=output, endpoint=endpoint(server, **(asked or {})), **{**base, **changes})


def rows_of(folder, split="train"):
    return [json.loads(line) for line in (folder / f"data/{split}.jsonl").read_text().splitlines()]


def all_rows(folder):
    return rows_of(folder) + rows_of(folder, "validation")


def test_topics_become_prompts_and_prompts_conversations(tmp_path):
    with serving() as server:
        made = generate.run(settings(server, tmp_path / "out", kinds=["open-qa", "writing"]))
    rows = all_rows(tmp_path / "out")
    assert len(rows) == made.train + made.validation == 2 * 2 * 2 * 2  # topics, subtopics, kinds, prompts
    assert Counter(row["kind"] for row in rows) == {"open-qa": 8, "writing": 8}
    for row in rows:
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        assert row["messages"][0]["content"].startswith("thing ")
        assert row["subject"].startswith("thing ")
    assert len({row["id"] for row in rows}) == len(rows)
    assert len(server.asked) == len(set(server.asked)) == 2 + 8 + 16
    assert artifact.read(tmp_path / "out", "conversations").stats["train"] == made.train


def test_a_second_run_asks_nothing_and_makes_the_same(tmp_path):
    with serving() as server:
        generate.run(settings(server, tmp_path / "out"))
        asked = len(server.asked)
        generate.run(settings(server, tmp_path / "again", answers=tmp_path / "out.answers.jsonl"))
        assert len(server.asked) == asked
    first, second = (artifact.read(tmp_path / name, "conversations") for name in ("out", "again"))
    assert first.digest == second.digest


def test_an_unruly_endpoint_gives_the_same_rows_as_a_good_one(tmp_path):
    faults = {0: 429, 2: 500, 3: "broken", 5: "drop", 7: 503, 9: "slow", 10: 429, 12: "broken"}
    with serving() as server:
        generate.run(settings(server, tmp_path / "good"))
        calm = len(server.asked)
    with serving(lambda number, body: faults.get(number)) as server:
        made = settings(server, tmp_path / "unruly", asked={"timeout_s": 1.0, "attempts": 9})
        generate.run(made)
        assert len(server.asked) == calm + len(faults)
    good, unruly = (artifact.read(tmp_path / name, "conversations") for name in ("good", "unruly"))
    assert good.digest == unruly.digest


def test_no_more_requests_are_under_way_than_connections(tmp_path):
    with serving(delay_s=0.05) as server:
        generate.run(settings(server, tmp_path / "out", asked={"connections": 3}))
        assert server.most_under_way == 3


def test_requests_begin_no_faster_than_the_rate_limit(tmp_path):
    with serving() as server:
        generate.run(settings(server, tmp_path / "out", per_topic=1, asked={"max_requests_per_min": 1200}))
        gaps = [later - first for first, later in zip(server.times, server.times[4:], strict=False)]
    assert min(gaps) > 3 * 0.05  # four gaps of 50 ms; arrival may shift by one of them


def test_answers_that_cannot_be_used_are_kept_aside_with_the_reason(tmp_path):
    def faults(number, body):
        said = body["messages"][-1]["content"]
        if not said.startswith("thing"):
            return None
        return {"0": "length", "1": 400}.get(said[-1])

    with serving(faults) as server:
        made = generate.run(settings(server, tmp_path / "out", per_topic=3))
    assert made.skipped == {"cut_off": 4, "refused_400": 4}
    assert made.train + made.validation == 4
    rejects = [json.loads(line) for line in (tmp_path / "out/rejects/prompts.jsonl").read_text().splitlines()]
    assert Counter(row["reason"] for row in rejects) == made.skipped


@pytest.mark.parametrize(("status", "message"), [(401, "the key is refused"), (404, "no such address or model")])
def test_a_wrong_endpoint_ends_the_run_at_once(tmp_path, status, message):
    with serving(lambda number, body: status) as server:
        with pytest.raises(ConfigError, match=message):
            generate.run(settings(server, tmp_path / "out"))
        assert len(server.asked) <= 2


def test_an_endpoint_that_stays_away_can_be_tried_again_later(tmp_path, capsys):
    with serving(lambda number, body: None if number < 4 else 503) as server:
        words = settings(server, tmp_path / "out", asked={"attempts": 2, "connections": 1})
        with pytest.raises(
            RetryableError, match=r"HTTP 503, 2 times in a row; what it has answered is in out\.answers"
        ):
            generate.run(words)
    assert len((tmp_path / "out.answers.jsonl").read_text().splitlines()) == 4
    assert not (tmp_path / "out").exists()


def test_the_key_is_sent_and_never_written(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "not-to-be-found")
    with serving() as server:
        generate.run(settings(server, tmp_path / "out", asked={"api_key_variable": "MY_KEY"}))
        assert {h["Authorization"] for h in server.headers} == {"Bearer not-to-be-found"}
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"not-to-be-found" not in path.read_bytes()


@pytest.mark.parametrize("command", ["generate", "rewrite"])
def test_resume_takes_the_settings_from_the_draft_and_the_key_from_the_environment(
    documents, tmp_path, monkeypatch, capsys, command
):
    monkeypatch.setenv("MY_KEY", "not-to-be-found")
    away = [True]
    with serving(lambda number, body: 503 if away[0] and number >= 3 else None) as server:
        asked = {"api_key_variable": "MY_KEY", "attempts": 2, "connections": 1}

        def begin(output):
            if command == "generate":
                return generate.run(settings(server, output, asked=asked))
            return rewrite.run(Rewrite(input=documents, output=output, endpoint=endpoint(server, **asked)))

        with pytest.raises(RetryableError, match="2 times in a row"):
            begin(tmp_path / "out")
        for path in tmp_path.rglob("*"):
            assert path.is_dir() or b"not-to-be-found" not in path.read_bytes()
        away[0], before = False, len(server.asked)
        monkeypatch.setenv("MY_KEY", "another")
        assert main(["resume", f"{tmp_path}/out", "connections=2"]) == 0
        assert f"resume: {command}: begins its pass anew; 3 answers are kept" in capsys.readouterr().err
        assert {h["Authorization"] for h in server.headers[before:]} == {"Bearer another"}
        assert not set(server.asked[:3]) & set(server.asked[before:])
        begin(tmp_path / "whole")
    ours, whole = (artifact.load_manifest(tmp_path / name) for name in ("out", "whole"))
    assert ours.digest == whole.digest
    assert ours.config["endpoint"]["connections"] == 2


def test_kill_9_and_the_same_command_ask_nothing_twice(tmp_path):
    with serving(delay_s=0.03) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        words = [
            "generate", f"output={tmp_path}/out", f"endpoint.base_url={url}", "endpoint.model=m", "topics=[a, b, c]",
            "num_subtopics=3", "per_topic=4", "endpoint.connections=2",
        ]  # fmt: skip
        process = subprocess.Popen([sys.executable, "-m", "nemo_curator", *words], stderr=subprocess.DEVNULL)
        journal = tmp_path / "out.answers.jsonl"
        while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 20):
            try:
                process.wait(timeout=0.01)
            except subprocess.TimeoutExpired:
                continue
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with open(journal, "ab") as handle:
            handle.write(b'{"id": "torn')
        known = {json.loads(line)["id"] for line in journal.read_bytes().splitlines()[:-1]}
        before = len(server.asked)
        assert len(known) >= 20
        assert main(words) == 0
        later = [identity(json.loads(body)) for body in server.asked[before:]]
        assert not known & set(later)
        assert len(later) == len(set(later))
        assert len(server.asked) <= len(set(server.asked)) + 2  # the two that were under way
    assert len(all_rows(tmp_path / "out")) == 3 * 3 * 4


def identity(body):
    drawn = {name: body[name] for name in ("temperature", "top_p", "max_tokens", "seed")}
    messages = tuple((message["role"], message["content"]) for message in body["messages"])
    return Request(messages=messages, model=body["model"], sampling=Sampling(**drawn)).id


def hexadecimal(conversations):
    """The first digit of the mark in the answers of `reply_to`."""
    return [int(re.search(r"only (\w)", c[-1]["content"])[1], 16) for c in conversations]


def test_preferences_are_the_best_and_the_worst_by_reward(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    reward = Reward(function=f"{os.path.basename(__file__)[:-3]}:hexadecimal")
    with serving() as server:
        made = generate.run(
            settings(server, tmp_path / "out", form="preferences", candidates=4, reward=reward, min_margin=3)
        )
    rows = all_rows(tmp_path / "out")
    assert rows
    for row in rows:
        best, worst = hexadecimal([row["chosen"]])[0], hexadecimal([row["rejected"]])[0]
        assert row["margin"] == best - worst >= 3
        assert [m["role"] for m in row["prompt"] + row["chosen"] + row["rejected"]] == [
            "user",
            "assistant",
            "assistant",
        ]
    assert len(rows) + made.skipped.get("answers_equally_good", 0) == 8
    artifact.read(tmp_path / "out", "preferences")


def test_a_judge_chooses_the_best_answer_and_drops_what_is_below_the_least(tmp_path):
    with serving() as server:
        reward = Reward(endpoint=endpoint(server, model="judge"), minimum=6)
        made = generate.run(settings(server, tmp_path / "out", candidates=2, reward=reward))
        judged = [json.loads(body) for body in server.asked if json.loads(body)["model"] == "judge"]
    assert len(judged) == 16
    assert all(body["temperature"] == 0 for body in judged)
    assert all(row["reward"] >= 6 for row in all_rows(tmp_path / "out"))
    assert made.train + made.validation + made.skipped.get("low_reward", 0) == 8


def test_a_reward_model_reads_the_conversation_itself(tmp_path):
    def reply(body):
        return "helpfulness:3.5,verbosity:-1" if body["model"] == "reward" else reply_to(body)

    with serving(reply=reply) as server:
        reward = Reward(endpoint=endpoint(server, model="reward"), kind="reward-model", attribute="verbosity")
        generate.run(settings(server, tmp_path / "out", reward=reward))
        asked = [json.loads(b)["messages"] for b in server.asked if json.loads(b)["model"] == "reward"]
    assert {row["reward"] for row in all_rows(tmp_path / "out")} == {-1}
    assert all([m["role"] for m in messages] == ["user", "assistant"] for messages in asked)


def test_a_dialogue_has_two_turns(tmp_path):
    with serving() as server:
        generate.run(settings(server, tmp_path / "out", turns=2, kinds=["math"]))
    for row in all_rows(tmp_path / "out"):
        assert [m["role"] for m in row["messages"]] == ["user", "assistant"] * 2
        assert len({m["content"] for m in row["messages"]}) == 4


@pytest.fixture
def documents(tmp_path):
    rows = [{"text": f"{prose(n)}\n\n{prose(n + 50)}", "title": f"T{n}", "id": f"own-{n}"} for n in range(4)]
    write_jsonl(tmp_path / "in/a.jsonl", [*rows, {"text": "Too short to be written anew."}])
    curate(tmp_path / "in", tmp_path / "documents", pipeline=["repair"], workers=1)
    return tmp_path / "documents"


def test_closed_questions_show_their_document(documents, tmp_path):
    with serving() as server:
        made = settings(server, tmp_path / "out", kinds=["closed-qa"], documents=documents, max_documents=3)
        generate.run(made)
    rows = all_rows(tmp_path / "out")
    assert len(rows) == 3 * 2
    by_id = {row["id"]: row for row in read_folder(documents / "data")}
    for row in rows:
        assert row["messages"][0]["content"].startswith(by_id[row["source"]]["text"])
        assert row["subject"] == by_id[row["source"]]["title"]


def test_rewritten_documents_say_what_they_come_from(documents, tmp_path):
    with serving(lambda number, body: "length" if "question" in body["messages"][0]["content"] else None) as server:
        made = rewrite.run(
            Rewrite(
                input=documents, output=tmp_path / "new", endpoint=endpoint(server), styles=["wikipedia", "diverse-qa"]
            )
        )
    rows, rejects = read_folder(tmp_path / "new/data"), read_folder(tmp_path / "new/rejects")
    assert made.documents_in == 5
    assert [row["id"] for row in rows] == [f"{row['id']}~wikipedia-0" for row in read_folder(documents / "data")[:4]]
    assert all(json.loads(row["metadata"])["style"] == "wikipedia" for row in rows)
    assert all(row["text"].startswith("An answer that only") for row in rows)
    assert Counter(row["reason"] for row in rejects) == {"cut_off": 4}
    assert "documents" in (tmp_path / "new/report.html").read_text()


def test_questions_about_a_text_stand_behind_it(documents, tmp_path):
    with serving() as server:
        where = endpoint(server)
        rewrite.run(Rewrite(input=documents, output=tmp_path / "new", endpoint=where, styles=["diverse-qa"]))
    originals = {row["id"]: row["text"] for row in read_folder(documents / "data")}
    for row in read_folder(tmp_path / "new/data"):
        assert row["text"].startswith(originals[row["source"]])
        assert "An answer that only" in row["text"]


def test_pieces_are_no_longer_than_a_style_takes_and_lose_no_word():
    text = "\n\n".join(["one two three", "four five", "six " * 11, "", "seven"])
    pieces = split(text, max_words=5)
    assert [len(piece.split()) for piece in pieces] == [5, 5, 5, 2]
    assert " ".join(pieces).split() == text.split()


def test_every_template_can_be_filled():
    values = dict.fromkeys(
        ("count", "topic", "prompt", "response", "language", "document", "conversation"), "{x} of it"
    )
    for name, text in templates().items():
        if name != "rewrites":
            assert "{x} of it" in text.format(**values)
    assert set(templates()["rewrites"]) == {"wikipedia", "diverse-qa", "distill", "extract-knowledge", "knowledge-list"}


@pytest.mark.parametrize(
    ("answer", "items"),
    [
        ("1. a\n2) b\n3: c", ["a", "b", "c"]),
        ("Sure!\n\n- **a**\n* b\n\nI hope this helps.", ["a", "b"]),
        ("1. a\n2. a\n3. b\n4. c", ["a", "b", "c"]),
        ("no list", []),
    ],
)
def test_lists_are_read_as_models_write_them(answer, items):
    assert read_list(answer, limit=3) == items


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(status=200, body=b'{"choices":[{"message":{"content":" a "}}]}'), Answer(text="a")),
        (Reply(status=200, body=b'{"choices":[{"message":{"content":null}}]}'), Answer(fault="empty_answer")),
        (Reply(status=429, retry_after="7"), Again(reason="HTTP 429", wait_s=7)),
        (Reply(status=503, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"), Again(reason="HTTP 503", wait_s=0)),
        (Reply(status=422, body=b"too long"), Answer(fault="refused_422", text="too long")),
        (Reply(lost="no answer in time"), Again(reason="no answer in time", wait_s=0)),
        (Reply(status=403, body=b"no"), Wrong(reason="access is refused (HTTP 403: no)")),
    ],
)
def test_what_a_reply_means(reply, outcome):
    assert understand(reply) == outcome


def test_waits_double_up_to_the_longest_and_heed_the_server():
    asked = Endpoint(base_url="http://a", model="m", backoff_s=1, max_wait_s=10)
    assert [wait_s(asked, attempt, 0) for attempt in range(5)] == [1, 2, 4, 8, 10]
    assert (wait_s(asked, 0, 5), wait_s(asked, 0, 500)) == (5, 10)


def test_numbers_are_found_in_what_a_judge_says():
    assert number_in("8", "") == 8
    assert number_in("I would say 7.5 of 10.", "") == 7.5
    assert number_in("helpfulness:1.5,correctness:-2", "correctness") == -2
    assert number_in("helpfulness:1.5", "coherence") is None
    assert number_in("no number", "") is None


def test_a_journal_is_written_by_one_run_and_damage_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    with Journal(path), pytest.raises(InputError, match="another run is writing its answers there"), Journal(path):
        pass
    path.write_text('{"id": "x", "text": "t", "fault": ""}\nnot json\n')
    with pytest.raises(InputError, match=r"a.jsonl:2: no answer of this tool"), Journal(path):
        pass


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kinds": ["closed-qa"]}, "closed-qa needs documents=ARTIFACT"),
        ({"candidates": 2}, "candidates=2 needs reward.function or reward.endpoint"),
        ({"form": "preferences"}, "form=preferences needs candidates=2 or more"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        Generate(output=tmp_path, endpoint=Endpoint(base_url="http://a", model="m"), **changes)
    with pytest.raises(ConfigError, match=r"reward.minimum=2 needs"):
        Reward(minimum=2)


def test_a_reward_function_that_fails_is_named(tmp_path):
    with serving() as server:
        with pytest.raises(ConfigError, match="'no_such:thing' cannot be found"):
            generate.run(settings(server, tmp_path / "out", reward=Reward(function="no_such:thing")))
        with pytest.raises(InputError, match=r"reward.function: math:sqrt failed on \d+ conversations"):
            generate.run(settings(server, tmp_path / "out", reward=Reward(function="math:sqrt")))
