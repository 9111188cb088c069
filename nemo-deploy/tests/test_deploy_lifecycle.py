"""How a server comes up, is shared, breaks and ends."""

import os
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from nemo_deploy.cli import main
from nemo_deploy.engines.protocol import LoadedModel
from nemo_deploy.serve.listen import free_port
from nemo_deploy.testing.bytes_engine import BytesEngine, BytesTokenizer, load

BODY = {"prompt": "abc", "max_tokens": 60}


def test_live_answers_before_the_model_is_loaded_and_ready_after(serve_bytes, client_at):
    loading, go = threading.Event(), threading.Event()

    def slow_load():
        loading.set()
        go.wait()
        return load()

    port = free_port("127.0.0.1")
    with ThreadPoolExecutor(1) as pool:
        stop = threading.Event()

        def hold():
            with serve_bytes(slow_load, port=port) as client:
                assert client.get("/v1/health/ready").status == 200
                stop.wait()

        server = pool.submit(hold)
        loading.wait()
        client = client_at(f"http://127.0.0.1:{port}")
        try:
            assert client.get("/v1/health/live").status == 200
            assert client.get("/v1/health/ready").status == 503
            reply = client.post("/v1/completions", BODY)
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        finally:
            go.set()
            stop.set()
        server.result()


def test_concurrent_requests_equal_sequential_ones(serve_bytes):
    bodies = [{"prompt": f"prompt {i}", "max_tokens": 80, "seed": i} for i in range(24)]
    with serve_bytes() as client:
        alone = [client.post("/v1/completions", body).json["choices"] for body in bodies]
        with ThreadPoolExecutor(12) as pool:
            together = list(pool.map(lambda body: client.post("/v1/completions", body).json["choices"], bodies))
    assert together == alone


@pytest.mark.parametrize("stream", [True, False])
def test_disconnect_frees_the_slot(serve_gated, stream):
    with serve_gated() as (client, gated):
        connection = client.connect()
        connection.request(
            "POST",
            "/v1/completions",
            b'{"prompt": "abc", "max_tokens": 4000, "stream": %s}' % str(stream).lower().encode(),
        )
        gated.gate.release(3)
        for _ in range(3):
            gated.steps_done.acquire()
        connection.sock.close()
        connection.close()
        gated.gate.release(1)
        wait_for_release(client, gated)
        assert client.get("/v1/health/ready").status == 200


def wait_for_release(client, gated):
    for _ in range(500):
        if not gated.has_work:
            return
        gated.gate.release(1)
        client.get("/v1/health/live")
    raise AssertionError("the request still holds its slot")


def test_slow_reader_holds_nobody_up(serve_bytes):
    with serve_bytes(lambda: load(max_length=20_000)) as client:
        slow = socket.create_connection(("127.0.0.1", int(client.url.rsplit(":", 1)[1])))
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        body = b'{"prompt": "a", "max_tokens": 15000, "seed": 1, "stream": true}'
        slow.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        others = [client.post("/v1/completions", {**BODY, "seed": seed}).json for seed in range(5)]
        assert all(other["usage"]["completion_tokens"] == 60 for other in others)
        received = b""
        while b"[DONE]" not in received[-100:]:
            received += slow.recv(65536)
        slow.close()
        assert received.count(b'"finish_reason":"length"') == 1


def test_full_queue_says_when_to_come_back(serve_gated):
    with ThreadPoolExecutor(3) as pool, serve_gated(max_queue=1) as (client, gated):
        waiting = [pool.submit(client.post, "/v1/completions", BODY) for _ in range(3)]
        client.wait_for_requests(3)
        reply = client.post("/v1/completions", BODY)
        gated.open()
        assert (reply.status, reply.headers["retry-after"]) == (429, "1")
        assert reply.error["type"] == "rate_limit_error"
        assert [future.result().status for future in waiting] == [200] * 3
        assert client.post("/v1/completions", {**BODY, "n": 4}).status == 400


def test_broken_engine_answers_500_and_ends_the_server(serve_bytes):
    class Broken(BytesEngine):
        def step(self):
            raise ArithmeticError("no more numbers")

    from nemo_deploy.serve.run import ServerFailed

    def ask_it():
        with serve_bytes(lambda: LoadedModel(engine=Broken(), tokenizer=BytesTokenizer())) as client:
            reply = client.post("/v1/completions", BODY)
            assert (reply.status, "no more numbers" in reply.error["message"]) == (500, True)

    with pytest.raises(ServerFailed, match="the engine failed: no more numbers"):
        ask_it()


KEY = {"Authorization": "Bearer s3cret"}


@pytest.fixture
def locked(serve_bytes, monkeypatch):
    monkeypatch.setenv("DEPLOY_TEST_KEY", "s3cret")
    with serve_bytes(api_key_env="DEPLOY_TEST_KEY") as client:
        yield client


def test_key_opens_what_is_locked(locked):
    assert locked.post("/v1/completions", BODY, **KEY).status == 200
    for headers, message in (({}, "no API key given"), ({"Authorization": "Bearer wrong"}, "wrong API key")):
        reply = locked.post("/v1/completions", BODY, **headers)
        assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
        assert message in reply.error["message"]
    assert [locked.get(path).status for path in ("/v1/models", "/metrics", "/no/such")] == [401] * 3
    assert [locked.get(path).status for path in ("/", "/page/chat.js", "/health", "/v1/health/live")] == [200] * 4


def test_keys_from_a_file(serve_bytes, tmp_path):
    (tmp_path / "keys").write_text("first\n\ns3cret\n")
    with serve_bytes(api_key_file=tmp_path / "keys") as client:
        assert client.get("/v1/models", **KEY).status == 200


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["host=0.0.0.0"], "host=0.0.0.0 is reachable from other machines and no API key is set"),
        (["api_key_env=NO_SUCH_VARIABLE"], "environment variable 'NO_SUCH_VARIABLE' is not set"),
        (["api_key_file=/no/such"], "api_key_file: /no/such cannot be read"),
        (["host=no.such.host.invalid", "insecure=true"], "host=no.such.host.invalid: no such address"),
        (["port=70000"], "port: expected `int` <= 65535"),
        (["prot=1"], "did you mean 'port'"),
    ],
)
def test_wrong_settings_end_with_code_2_before_anything_is_loaded(tiny_model, capsys, words, message):
    assert main(["serve", str(tiny_model), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("name", "message"), [("absent", "no such folder"), ("empty", "holds no config.json")])
def test_unknown_folder_is_named(tmp_path, capsys, name, message):
    (tmp_path / "empty").mkdir()
    assert main(["serve", str(tmp_path / name)]) == 2
    assert f"{tmp_path / name}: {message}" in capsys.readouterr().err


def test_port_in_use_names_the_holder_and_a_free_one(tiny_model, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(tiny_model), f"port={port}"]) == 2
    message = capsys.readouterr().err
    assert f"port {port} on 127.0.0.1 is in use" in message
    assert "or say port=" in message
    if sys.platform == "linux":
        assert f"by process {os.getpid()}" in message
