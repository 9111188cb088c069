"""A training step of a Llama on this machine's cores: nemo-core, transformers, and transformers compiled.

Each contestant is a process of its own with the same weights and batches, so its peak memory is its own; rounds
alternate, so that other work on the machine meets all of them alike, and the median CPU time counts. The fp32 matrix
product that the figures are compared with is measured in the same rounds. Ragged rows are documents of uneven length:
packed here, padded in transformers, tokens counted without filling; they are measured with the first size only. Without
`--compiled` all takes about three minutes of CPU time. Peak memory is read from Linux's /proc.
"""

import argparse
import itertools
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from nemo_core.checkpoint.folder import load_model, save_model
from nemo_core.config import ModelConfig
from nemo_core.data.batch import IGNORED, Batch
from nemo_core.data.packing import Example, pack, packed_batch
from nemo_core.model.decoder import Decoder
from nemo_core.model.linear import product
from nemo_core.train.device import keep_freed_memory
from nemo_core.train.objective import next_token_loss
from nemo_core.train.optimizer import build_optimizer

SHAPES = {
    "10M": {
        "vocab_size": 4096,
        "hidden_size": 320,
        "num_layers": 6,
        "num_heads": 5,
        "num_kv_heads": 5,
        "ffn_size": 864,
    },
    "100M": {
        "vocab_size": 16384,
        "hidden_size": 768,
        "num_layers": 10,
        "num_heads": 12,
        "num_kv_heads": 12,
        "ffn_size": 2048,
    },
}
ROWS = {"10M": 8, "100M": 4}
LENGTH, WARMUP = 256, 2
Rows = list[list[int]]
Step = Callable[[Rows], float]


def shape_of(size: str) -> ModelConfig:
    """The Llama of that many weights."""
    return ModelConfig(**SHAPES[size], head_dim=64, max_positions=LENGTH, tied_embeddings=False)


def documents(size: str, *, ragged: bool, rounds: int) -> Iterator[Rows]:
    """Token ids of the documents of each step; ragged ones have about the spread of chat data (log-normal)."""
    draw = torch.Generator().manual_seed(0)
    vocabulary = SHAPES[size]["vocab_size"]
    for _ in range(rounds):
        if ragged:
            lengths = (torch.randn(ROWS[size] * 3, generator=draw) * 0.8 + 4.3).exp().clamp(8, LENGTH).long().tolist()
        else:
            lengths = [LENGTH + 1] * ROWS[size]
        yield [torch.randint(0, vocabulary, (length,), generator=draw).tolist() for length in lengths]


def ours(folder: str, *, ragged: bool) -> Step:
    """A step as `nemo-core pretrain` and `nemo-core sft` make it."""
    keep_freed_memory()
    model = load_model(folder).train()
    optimizer = build_optimizer(model, learning_rate=1e-4, weight_decay=0.1, betas=(0.9, 0.95))

    def step(rows: Rows) -> float:
        batch = packed(rows) if ragged else whole(rows)
        optimizer.zero_grad()
        loss = next_token_loss(model, batch) / batch.num_targets
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


def whole(rows: Rows) -> Batch:
    """Rows of equal length."""
    tokens_BT = torch.tensor(rows)
    return Batch(tokens_BT[:, :-1], tokens_BT[:, 1:])


def packed(rows: Rows) -> Batch:
    """Documents packed into as few rows as hold them."""
    examples = [Example(ids, [True] * len(ids)) for ids in rows]
    return packed_batch([[examples[n] for n in row] for row in pack([len(r) for r in rows], capacity=LENGTH)])


def theirs(folder: str, *, ragged: bool, compiled: bool) -> Step:
    """A step as transformers users write it."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").train()
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, betas=(0.9, 0.95))

    def step(rows: Rows) -> float:
        optimizer.zero_grad()
        if ragged:
            loss = run(**padded(rows), use_cache=False).loss
        else:
            tokens_BT = torch.tensor(rows)
            targets_BT = tokens_BT[:, 1:].contiguous()
            loss = run(tokens_BT[:, :-1], shift_labels=targets_BT, labels=targets_BT, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


def padded(rows: Rows) -> dict[str, torch.Tensor]:
    """Documents side by side, filled up to the longest, as a data collator does."""
    longest = max(map(len, rows))
    ids_BT = torch.zeros(len(rows), longest, dtype=torch.int64)
    labels_BT = torch.full_like(ids_BT, IGNORED)
    mask_BT = torch.zeros_like(ids_BT)
    for number, row in enumerate(rows):
        ids_BT[number, : len(row)] = labels_BT[number, : len(row)] = torch.tensor(row)
        mask_BT[number, : len(row)] = 1
    return {"input_ids": ids_BT, "labels": labels_BT, "attention_mask": mask_BT}


def matrix_product() -> Step:
    """Square fp32 products, the fastest way nemo-core knows; a step is four of them."""
    left, right = torch.randn(2048, 1024), torch.randn(1024, 1024)

    def step(_: Rows) -> float:
        for _ in range(8):
            product(left, right)
        return 0.0

    return step


GEMM_FLOPS = 8 * 2.0 * 2048 * 1024 * 1024
CONTESTANTS: dict[str, Callable[[str, bool], Step]] = {
    "nemo-core": lambda folder, ragged: ours(folder, ragged=ragged),
    "transformers": lambda folder, ragged: theirs(folder, ragged=ragged, compiled=False),
    "transformers compiled": lambda folder, ragged: theirs(folder, ragged=ragged, compiled=True),
    "fp32 matrix product": lambda _, __: matrix_product(),
}


def memory_mib(field: str) -> float:
    """What /proc says of this process; getrusage's peak would begin with that of the parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def compete(name: str, folder: str, threads: int, ragged: bool, parent: Connection) -> None:
    """One contestant's process: answer each batch with (CPU seconds, loss, MiB used at most for the model)."""
    torch.set_num_threads(threads)
    if name.startswith("transformers"):
        import transformers  # noqa: F401 - its own size is no memory of the model
    before = memory_mib("VmRSS")
    step = CONTESTANTS[name](folder, ragged)
    while (rows := parent.recv()) is not None:
        started = time.process_time()
        loss = step(rows)
        used = time.process_time() - started
        parent.send((used, loss, memory_mib("VmHWM") - before))


def measure(names: list[str], folder: str, size: str, case: argparse.Namespace) -> dict[str, list[tuple[float, ...]]]:
    """What each contestant answers, round by round."""
    context = multiprocessing.get_context("spawn")
    lines: dict[str, Connection] = {}
    processes = []
    for name in names:
        lines[name], end = context.Pipe()
        words = (name, folder, case.threads, case.ragged, end)
        processes.append(context.Process(target=compete, args=words, daemon=True))
        processes[-1].start()
        end.close()  # so that a process that died is noticed
    answers: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    for rows in documents(size, ragged=case.ragged, rounds=case.rounds):
        for name, line in lines.items():
            line.send(rows)
            answers[name].append(line.recv())
    for line in lines.values():
        line.send(None)
    for process in processes:
        process.join()
    return answers


def figures(size: str, answers: dict[str, list[tuple[float, ...]]], case: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per contestant."""
    config = shape_of(size)
    batches = list(documents(size, ragged=case.ragged, rounds=case.rounds))
    tokens = [sum(len(row) - 1 for row in rows) for rows in batches][WARMUP:]
    peak = GEMM_FLOPS / statistics.median(used for used, *_ in answers.pop("fp32 matrix product")[WARMUP:]) / 1e9
    cost = {
        name: statistics.median(a[0] / n for a, n in zip(got[WARMUP:], tokens, strict=True))
        for name, got in answers.items()
    }
    memory = {name: max(answer[2] for answer in got) for name, got in answers.items()}
    rows = []
    for name, got in answers.items():
        row = {
            "name": name,
            "size": size,
            "tokens_per_cpu_s": round(1 / cost[name], 1),
            "speed": round(cost["transformers"] / cost[name], 3),
            "peak_mib": round(memory[name]),
            "memory": round(memory[name] / memory["transformers"], 3),
            "first_loss": round(got[0][1], 5),
        }
        if not case.ragged:
            row["gflop_per_cpu_s"] = round(config.flops_per_token(LENGTH) / cost[name] / 1e9, 1)
            row["product_gflop_per_cpu_s"] = round(peak, 1)
            row["share_of_product"] = round(row["gflop_per_cpu_s"] / peak, 3)
        rows.append(row)
    return rows


def print_table(rows: list[dict[str, Any]]) -> None:
    """Names, then figures, in columns."""
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), flush=True)


def main() -> None:
    """Compare at each size asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=tuple(SHAPES), default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", nargs="+", choices=("equal", "ragged"), default=["equal", "ragged"])
    parser.add_argument("--compiled", action="store_true", help="transformers compiled too; compiling takes a minute")
    parser.add_argument("--json", type=Path, help="file to save the figures in")
    chosen = parser.parse_args()
    saved = []
    for size, kind in itertools.product(chosen.sizes, chosen.rows):
        if kind == "ragged" and size != chosen.sizes[0]:
            continue
        case = argparse.Namespace(**vars(chosen), ragged=kind == "ragged")
        names = [n for n in CONTESTANTS if not n.endswith("compiled") or (case.compiled and not case.ragged)]
        with tempfile.TemporaryDirectory() as folder:
            save_model(Decoder(shape_of(size), seed=0), Path(folder))
            rows = figures(size, measure(names, folder, size, case), case)
        print_table([{**row, "rows": kind} for row in rows])
        saved += [{**row, "rows": kind} for row in rows]
    if chosen.json:
        chosen.json.write_text(json.dumps(saved, indent=1) + "\n")


if __name__ == "__main__":
    main()
