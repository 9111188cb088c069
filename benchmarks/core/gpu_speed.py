"""Speed on one GPU: a training step in bfloat16, and decoding, of nemo-core beside transformers.

    python benchmarks/core/gpu_speed.py --output docs/gpu-results.md

trains llama3.2-1b whole and the first eight layers of llama3-8b (all of it, with gradients and moments in float32,
needs more than 80 GiB), as they are and compiled, and lets llama3.2-1b answer 1, 16 and 64 prompts. Contestants have
equal weights and batches; seconds are medians on the clock, waited for. The share is that of the device's dense
bfloat16 peak, causal attention counted at half. Rows are added to the file under a heading with date and device.
`--device cpu --size nano --rows 1 --length 64` rehearses it anywhere.
"""

import argparse
import dataclasses
import datetime
import functools
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from nemo_core.checkpoint.folder import load_model, save_model
from nemo_core.config import ModelConfig
from nemo_core.data.batch import Batch
from nemo_core.inference import Engine, Request, SamplingParams
from nemo_core.model.decoder import Decoder
from nemo_core.sizes import model_config
from nemo_core.train.device import Compute
from nemo_core.train.efficiency import find_peak
from nemo_core.train.objective import next_token_loss
from nemo_core.train.optimizer import build_optimizer

WARMUP, ROUNDS, PROMPT, ANSWER = 3, 8, 128, 64
Step = Callable[[torch.Tensor], torch.Tensor]
Row = dict[str, Any]


def settings() -> argparse.Namespace:
    """What is measured, and where."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to rehearse")
    parser.add_argument("--size", nargs="+", default=["llama3.2-1b", "llama3-8b:8"], help="size, or size:layers")
    parser.add_argument("--rows", type=int, default=2, help="rows of a training step")
    parser.add_argument("--length", type=int, default=4096, help="tokens of a row")
    parser.add_argument("--prompts", type=int, nargs="+", default=[1, 16, 64], help="prompts answered at once")
    parser.add_argument("--output", type=Path, help="file that the tables are added to")
    return parser.parse_args()


def config_of(size: str, length: int) -> ModelConfig:
    """The shape of a published size, or its first layers."""
    name, _, layers = size.partition(":")
    whole = model_config(name, vocab_size=128256, max_positions=length, eos_id=2, pad_id=2)
    return dataclasses.replace(whole, num_layers=int(layers)) if layers else whole


def wait(device: torch.device) -> None:
    """Until the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """On the clock."""
    wait(device)
    started = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - started


def ours(folder: Path, device: torch.device, *, compiled: bool) -> tuple[torch.nn.Module, Step]:
    """nemo-core's model, and what gives its mean loss."""
    model = load_model(folder, device=device).train()
    for layer in model.model.layers if compiled else ():
        layer.compile()
    return model, functools.partial(mean_loss, model)


def theirs(folder: Path, device: torch.device, *, compiled: bool) -> tuple[torch.nn.Module, Step]:
    """transformers' model, and what gives its mean loss."""
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32)
    model = model.to(device).train()
    return model, functools.partial(their_loss, torch.compile(model) if compiled else model)


def mean_loss(model: Decoder, tokens_BT: torch.Tensor) -> torch.Tensor:
    """As the training loop computes it."""
    batch = Batch(tokens_BT[:, :-1], tokens_BT[:, 1:])
    return next_token_loss(model, batch) / batch.num_targets


def their_loss(run: Any, tokens_BT: torch.Tensor) -> torch.Tensor:
    """As transformers computes it."""
    targets_BT = tokens_BT[:, 1:].contiguous()
    loss: torch.Tensor = run(tokens_BT[:, :-1], shift_labels=targets_BT, labels=targets_BT, use_cache=False).loss
    return loss


def trained(
    made: tuple[torch.nn.Module, Step], config: ModelConfig, case: argparse.Namespace, device: torch.device
) -> Row:
    """Speed, memory and first loss of one contestant."""
    model, loss_of = made
    optimizer = build_optimizer(model, learning_rate=1e-5, weight_decay=0.1, betas=(0.9, 0.95))
    draw, losses = torch.Generator().manual_seed(0), []

    def step() -> None:
        tokens_BT = torch.randint(0, config.vocab_size, (case.rows, case.length + 1), generator=draw).to(device)
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = loss_of(tokens_BT)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))

    used = statistics.median([seconds_of(step, device) for _ in range(WARMUP + ROUNDS)][WARMUP:])
    rate, peak = case.rows * case.length / used, find_peak(Compute(device, torch.bfloat16))
    share = rate * config.flops_per_token(case.length) / peak.flops if peak else 0.0
    memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
    return {"tokens/s": f"{rate:.0f}", "MFU": f"{share:.3f}", "GiB": f"{memory:.1f}", "loss": f"{losses[0]:.5f}"}


def training(folder: Path, config: ModelConfig, case: argparse.Namespace, device: torch.device) -> Iterator[Row]:
    """A row for each contestant, of which one at a time is in memory."""
    for compiled, make in itertools.product((False, True), (ours, theirs)):
        name = "nemo-core" if make is ours else "transformers"
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        row = trained(make(folder, device, compiled=compiled), config, case, device)
        yield {"training": f"{name} compiled" if compiled else name, **row}


def decoding(folder: Path, config: ModelConfig, case: argparse.Namespace, device: torch.device) -> Iterator[Row]:
    """A row for each number of prompts and contestant; both answer greedily in bfloat16."""
    model = load_model(folder, device=device, dtype=torch.bfloat16)
    peer = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(device).eval()
    draw = torch.Generator().manual_seed(1)
    for count in case.prompts:
        engine = Engine(model, None, max_slots=count, max_length=PROMPT + ANSWER)

        def answer(count: int = count, engine: Engine = engine) -> None:
            for number, ids in enumerate(torch.randint(3, config.vocab_size, (count, PROMPT), generator=draw).tolist()):
                sampling = SamplingParams(max_tokens=ANSWER, temperature=0.0, ignore_eos=True)
                engine.add(Request(id=number, prompt_ids=ids, sampling=sampling))
            while engine.has_work:
                engine.step()

        def generate(count: int = count) -> None:
            ids_BT = torch.randint(3, config.vocab_size, (count, PROMPT), generator=draw).to(device)
            peer.generate(ids_BT, max_new_tokens=ANSWER, min_new_tokens=ANSWER, do_sample=False, pad_token_id=2)

        for name, work in (("nemo-core", answer), ("transformers", generate)):
            used = [seconds_of(work, device) for _ in range(4)][1:]
            yield {"decoding": name, "prompts": count, "tokens/s": f"{count * ANSWER / statistics.median(used):.0f}"}


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def report(case: argparse.Namespace) -> Iterator[str]:
    """Tables as they are done."""
    device = torch.device(case.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU, a rehearsal"
    yield f"\n## {datetime.datetime.now(datetime.UTC):%d %B %Y}, {name}, torch {torch.__version__}\n"
    for number, size in enumerate(case.size):
        config = config_of(size, max(case.length, PROMPT + ANSWER))
        with tempfile.TemporaryDirectory() as folder:
            save_model(Decoder(config, seed=0), folder)
            yield f"\n{size}, {config.num_parameters:,} weights, {case.rows} rows of {case.length} tokens:\n\n"
            yield table(list(training(Path(folder), config, case, device)))
            if number == 0:
                yield "\n" + table(list(decoding(Path(folder), config, case, device)))


def main() -> None:
    """Print the tables, and add them to the file."""
    case = settings()
    for part in report(case):
        print(part, end="", flush=True)
        if case.output is not None:
            with case.output.open("a", encoding="utf-8") as file:
                file.write(part)


if __name__ == "__main__":
    main()
