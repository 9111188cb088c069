"""What the HTTP front costs: tokens per second through the server against the engine alone, same model, same requests.

Usage: python benchmarks/deploy/serve.py [size] [tokens]     (defaults: small 128)
"""

import json
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import torch

from nemo_core.checkpoint.folder import save_model
from nemo_core.model.decoder import Decoder
from nemo_core.sizes import model_config
from nemo_core.tokenizer.train import learn, save
from nemo_deploy.engines.protocol import GenerateRequest
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


def time_engine(folder: Path, clients: int, tokens: int) -> float:
    """Tokens per second of the engine alone, `clients` requests at once."""
    model = load(folder, device="cpu", dtype="fp32", max_slots=16, max_length=None, threads=None)
    ids = tuple(model.tokenizer.encode(PROMPT))
    started = time.perf_counter()
    for index in range(clients):
        model.engine.add(GenerateRequest(id=index, prompt_ids=ids, max_tokens=tokens, seed=index, ignore_eos=True))
    while model.engine.has_work:
        model.engine.step()
    return clients * tokens / (time.perf_counter() - started)


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


def time_server(url: str, clients: int, tokens: int) -> tuple[float, float]:
    """Tokens per second over HTTP, streamed, and the median time to the first event in ms."""
    firsts: list[float] = []
    threads = [threading.Thread(target=stream, args=(url, index, tokens, firsts)) for index in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return clients * tokens / (time.perf_counter() - started), 1000 * sorted(firsts)[len(firsts) // 2]


def compare(folder: Path, url: str, clients: int, tokens: int) -> dict[str, float]:
    """Best of interleaved repeats, so that other load on the machine strikes both alike."""
    engine = server = first_ms = 0.0
    for _ in range(REPEATS):
        engine = max(engine, time_engine(folder, clients, tokens))
        rate, ms = time_server(url, clients, tokens)
        server, first_ms = max((server, first_ms), (rate, ms))
    overhead_ms = 1000 * clients * (1 / server - 1 / engine)
    return {
        "clients": clients,
        "engine_tokens_per_s": round(engine, 1),
        "server_tokens_per_s": round(server, 1),
        "server_over_engine": round(server / engine, 3),
        "overhead_ms_per_step": round(overhead_ms, 3),
        "first_event_ms": round(first_ms, 1),
    }


def main() -> None:
    """Print one JSON line per number of clients."""
    size = sys.argv[1] if len(sys.argv) > 1 else "small"
    tokens = int(sys.argv[2]) if len(sys.argv) > 2 else 128
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_model(Path(scratch) / "model", size)
        with in_background(ServeSettings(model=folder, port=0)) as url:
            print(json.dumps({"size": size, "tokens": tokens, "threads": torch.get_num_threads()}))
            for clients in (1, 16):
                print(json.dumps(compare(folder, url, clients, tokens)), flush=True)


if __name__ == "__main__":
    main()
