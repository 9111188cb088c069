"""What the HTTP front costs: the same requests through the server, streamed, and to the engine alone.

Wall-clock rates suffer from whatever else the machine does; the CPU time of this process (server and clients together,
so an upper bound for the server) does not as much. One thread for the model.

Usage: python benchmarks/deploy/bench_serve.py [size] [tokens]     (defaults: small 128)
"""

import contextlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from nemo_core.checkpoint.folder import save_model
from nemo_core.model.decoder import Decoder
from nemo_core.sizes import model_config
from nemo_core.tokenizer.train import learn, save
from nemo_deploy.engines.protocol import Engine, GenerateRequest, LoadedModel
from nemo_deploy.engines.torch import load
from nemo_deploy.serve.run import in_background
from nemo_deploy.serve.settings import ServeSettings

REPEATS = 5
PROMPT = "What does the function return? " * 4


def make_model(folder: Path, size: str) -> Path:
    """A random model of the named size with a small tokenizer."""
    tokenizer = learn(iter([PROMPT]), vocab_size=4096, min_frequency=1)
    config = model_config(size, vocab_size=4096, max_positions=1024, eos_id=0, pad_id=0)
    save_model(Decoder(config, seed=0), folder)
    save(tokenizer, folder)
    return folder


@dataclass(frozen=True)
class Cost:
    """What one run took."""

    wall_s: float
    cpu_s: float
    first_event_s: float = 0.0


@contextlib.contextmanager
def measured(costs: list[Cost], firsts: list[float]) -> Iterator[None]:
    """Append the cost of the block."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    middle = sorted(firsts)[len(firsts) // 2] if firsts else 0.0
    costs.append(Cost(time.perf_counter() - wall, time.process_time() - cpu, middle))


def run_engine(engine: Engine, ids: tuple[int, ...], clients: int, tokens: int) -> None:
    """`clients` requests at once, in this thread."""
    for index in range(clients):
        engine.add(GenerateRequest(id=index, prompt_ids=ids, max_tokens=tokens, seed=index, ignore_eos=True))
    while engine.has_work:
        engine.step()


def stream(url: str, index: int, tokens: int, firsts: list[float]) -> None:
    """One streamed completion, read to its end."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port)
    body = {"prompt": PROMPT, "max_tokens": tokens, "seed": index, "ignore_eos": True, "stream": True}
    started = time.perf_counter()
    connection.request("POST", "/v1/completions", json.dumps(body))
    reply = connection.getresponse()
    reply.readline()
    firsts.append(time.perf_counter() - started)
    reply.read()
    connection.close()


def run_server(url: str, clients: int, tokens: int, firsts: list[float]) -> None:
    """`clients` streams at once."""
    threads = [threading.Thread(target=stream, args=(url, index, tokens, firsts)) for index in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def compare(model: LoadedModel, url: str, clients: int, tokens: int) -> dict[str, float]:
    """Best of interleaved repeats, so that other load on the machine strikes both alike."""
    alone: list[Cost] = []
    served: list[Cost] = []
    ids = tuple(model.tokenizer.encode(PROMPT))
    for _ in range(REPEATS):
        with measured(alone, []):
            run_engine(model.engine, ids, clients, tokens)
        firsts: list[float] = []
        with measured(served, firsts):
            run_server(url, clients, tokens, firsts)
    total = clients * tokens
    engine_cpu, server_cpu = min(c.cpu_s for c in alone), min(c.cpu_s for c in served)
    return {
        "clients": clients,
        "engine_tokens_per_s": round(total / min(c.wall_s for c in alone), 1),
        "server_tokens_per_s": round(total / min(c.wall_s for c in served), 1),
        "engine_cpu_ms_per_token": round(1000 * engine_cpu / total, 3),
        "server_cpu_ms_per_token": round(1000 * server_cpu / total, 3),
        "overhead_cpu_ms_per_token": round(1000 * (server_cpu - engine_cpu) / total, 3),
        "first_event_ms": round(1000 * min(c.first_event_s for c in served), 1),
    }


def main() -> None:
    """Print one JSON line per number of clients."""
    size = sys.argv[1] if len(sys.argv) > 1 else "small"
    tokens = int(sys.argv[2]) if len(sys.argv) > 2 else 128
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_model(Path(scratch) / "model", size)
        model = load(folder, device="cpu", dtype="fp32", max_slots=16, max_length=None, threads=1)
        print(json.dumps({"size": size, "tokens": tokens, "parameters": model.facts["parameters"]}))
        with in_background(ServeSettings(model=folder, port=0, threads=1)) as url:
            for clients in (1, 16):
                print(json.dumps(compare(model, url, clients, tokens)), flush=True)


if __name__ == "__main__":
    main()
