"""Training over two processes beside one, memory of recomputed activations, and what saving a state costs.

    python benchmarks/core/bench_parallel.py [--steps 6]

Every case trains the same 10M-parameter Llama on the same batches (8 rows of 256 tokens) on two cores: one process with
two threads, or two processes (gloo) with one thread each. Seconds are the median of a step, CPU seconds its mean over
all processes; memory is the peak of the largest process above what it had before the first step.
"""

import argparse
import json
import os
import resource
import socket
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.multiprocessing as multiprocessing

from nemo_core.checkpoint.state_settings import StateSettings
from nemo_core.config import ModelConfig
from nemo_core.data.batch import Batch
from nemo_core.model.decoder import Decoder
from nemo_core.parallel.apply import parallelize
from nemo_core.parallel.settings import ParallelSettings
from nemo_core.train.device import Compute
from nemo_core.train.loop import Parts, Plan, learn, state_tensors
from nemo_core.train.objective import next_token_loss
from nemo_core.train.optimizer import build_optimizer
from nemo_core.train.saving import Saver
from nemo_core.train.world import joined_world

SHAPE = ModelConfig(
    vocab_size=4096,
    hidden_size=320,
    num_layers=6,
    num_heads=6,
    num_kv_heads=6,
    head_dim=64,
    ffn_size=864,
    max_positions=256,
)
ROWS, LENGTH = 8, 256
CASES = {
    "1 process": (1, {}),
    "1 process, recompute=selective": (1, {"recompute": "selective"}),
    "1 process, recompute=full": (1, {"recompute": "full"}),
    "data=2": (2, {}),
    "fsdp=2": (2, {"fsdp": 2}),
    "fsdp=2, reshard=false": (2, {"fsdp": 2, "reshard": False}),
    "tensor=2": (2, {"tensor": 2}),
    "pipeline=2": (2, {"pipeline": 2}),
    "context=2": (2, {"context": 2}),
}


def make_parts(world, settings: ParallelSettings) -> Parts:
    model = Decoder(SHAPE, seed=0)
    compute = Compute(torch.device("cpu"), torch.float32)
    parallel = parallelize(model, settings, world, compute)
    optimizer = build_optimizer(model, learning_rate=1e-3, weight_decay=0.1, betas=(0.9, 0.95))
    return Parts(
        model=model,
        data=None,
        objective=next_token_loss,
        optimizer=optimizer,
        schedule=lambda _: 1e-3,
        validate=dict,
        compute=compute,
        world=parallel.world,
        parallel=parallel,
    )


def batch_of(step: int) -> Batch:
    ids_BT = torch.randint(0, SHAPE.vocab_size, (ROWS, LENGTH + 1), generator=torch.Generator().manual_seed(step))
    return Batch(ids_BT[:, :-1], ids_BT[:, 1:])


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(rank: int, size: int, port: int, name: str, steps: int, results) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(size)}
    torch.set_num_threads(2 // size)
    degrees = CASES[name][1]
    micro = ROWS // 4 if "pipeline" in degrees else 0
    with joined_world() as world:
        parts = make_parts(world, ParallelSettings(**degrees))
        plan = Plan(label="", steps=steps, micro_batch_size=micro, max_grad_norm=1.0, run=None)
        before, walls, cpu = peak_mib(), [], 0.0
        for step in range(steps + 1):
            world.wait()
            started, spent = time.perf_counter(), time.process_time()
            result = learn(parts, plan, batch_of(step), rate=1e-3, skip=lambda *_: False)
            if step:  # the first one allocates
                walls.append(time.perf_counter() - started)
                cpu += time.process_time() - spent
        saving = saving_figures(parts) if size == 1 and not degrees else {}
    results.put((rank, statistics.median(walls), cpu / steps, peak_mib() - before, result.loss, saving))


def saving_figures(parts: Parts) -> dict[str, float]:
    """Seconds that training waits for a state, written in the background and not."""
    figures = {}
    for in_background in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            saver = Saver(Path(folder), StateSettings(in_background=in_background), parts.world)
            pauses = []
            for step in range(3):
                started = time.perf_counter()
                saver.save(step, state_tensors(parts), {"step": step})
                pauses.append(time.perf_counter() - started)
                saver.finish()
            figures["save, background" if in_background else "save, waiting"] = round(statistics.median(pauses), 4)
            newest = max(Path(folder).iterdir())
            figures["state_mib"] = round(sum(f.stat().st_size for f in newest.iterdir()) / 2**20, 1)
    return figures


def run(name: str, steps: int) -> dict[str, object]:
    size = CASES[name][0]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    results = multiprocessing.get_context("spawn").SimpleQueue()
    multiprocessing.spawn(measure, (size, port, name, steps, results), nprocs=size)
    rows = [results.get() for _ in range(size)]
    return {
        "case": name,
        "step_s": round(max(row[1] for row in rows), 3),
        "cpu_s": round(sum(row[2] for row in rows), 3),
        "tokens_per_s": round(ROWS * LENGTH / max(row[1] for row in rows)),
        "step_mib": round(max(row[3] for row in rows)),
        "loss": round(rows[0][4], 5),
        **next((row[5] for row in rows if row[5]), {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    arguments = parser.parse_args()
    for name in CASES:
        if arguments.only in name:
            print(json.dumps(run(name, arguments.steps)), flush=True)


if __name__ == "__main__":
    main()
