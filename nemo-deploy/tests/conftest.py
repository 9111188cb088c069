"""Real servers on free ports: over the model-free engine for the front, over a tiny random Llama for the whole."""

import http.client
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from nemo_deploy.engines.protocol import LoadedModel
from nemo_deploy.serve.run import in_background
from nemo_deploy.serve.settings import ServeSettings
from nemo_deploy.testing.bytes_engine import BytesEngine, BytesTokenizer
from nemo_deploy.testing.bytes_engine import load as load_bytes


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]


@dataclass(frozen=True)
class Client:
    url: str

    def connect(self):
        parts = urlsplit(self.url)
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)

    def send(self, method, path, body=None, headers=None):
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.send("GET", path, headers=headers)

    def post(self, path, body, **headers):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, raw, {"Content-Type": "application/json", **headers})

    def events(self, path, body):
        lines = self.post(path, {**body, "stream": True}).body.decode().split("\n\n")
        assert lines[-2:] == ["data: [DONE]", ""]
        return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]

    def wait_for_requests(self, count):
        """Read /metrics until `count` requests are there; each read waits for the server, so this is no busy loop."""
        for _ in range(2000):
            text = self.get("/metrics").body.decode()
            if sum(float(n) for n in re.findall(r"^nemo_num_requests_(?:running|waiting) (.*)$", text, re.M)) == count:
                return
        raise AssertionError(f"there never were {count} requests")


@pytest.fixture(scope="session")
def client_at():
    return Client


@pytest.fixture(scope="session")
def serve_bytes():
    @contextmanager
    def serve(load=load_bytes, **settings):
        chosen = {"model": Path("tiny"), "port": 0, **settings}
        with in_background(ServeSettings(**chosen), load) as url:
            yield Client(url)

    return serve


@pytest.fixture(scope="module")
def client(serve_bytes):
    with serve_bytes(max_body_bytes=20_000) as client:
        yield client


class GatedEngine(BytesEngine):
    """Takes a step only when the test says so."""

    def __init__(self):
        super().__init__(max_slots=2, max_length=4096)
        self.gate = threading.Semaphore(0)
        self.steps_done = threading.Semaphore(0)

    def step(self):
        self.gate.acquire()
        deltas = super().step()
        self.steps_done.release()
        return deltas

    def open(self):
        self.gate.release(1_000_000)


@pytest.fixture
def serve_gated(serve_bytes):
    @contextmanager
    def serve(**settings):
        engine = GatedEngine()
        model = LoadedModel(engine=engine, tokenizer=BytesTokenizer())
        with serve_bytes(lambda: model, **settings) as client:
            try:
                yield client, engine
            finally:
                engine.open()

    return serve


TEXTS = ["What is textwrap? It wraps text.", "Wrap and fill paragraphs of text.", "What is json? It reads and writes."]


def write_tiny_model(folder, *, seed=0, max_positions=128):
    """A random two-layer Llama with a tokenizer learnt on the spot."""
    from nemo_core.checkpoint.folder import save_model
    from nemo_core.config import ModelConfig
    from nemo_core.model.decoder import Decoder
    from nemo_core.tokenizer.train import learn, save

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = learn(iter(TEXTS), vocab_size=300, min_frequency=1)
    config = ModelConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        ffn_size=48,
        max_positions=max_positions,
        initializer_range=0.2,
        eos_id=0,
        pad_id=0,
    )
    save_model(Decoder(config, seed=seed), folder)
    save(tokenizer, folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny-llama")
