"""One training step of a 10-million-parameter Llama on this machine's cores: nemo-core and transformers, same weights.

Rounds alternate, so that other work on the machine meets both contestants alike; the least CPU time counts.
"""

import json
import tempfile
import time
from collections.abc import Callable

import torch
from transformers import AutoModelForCausalLM

from nemo_core.checkpoint.folder import save_model
from nemo_core.config import ModelConfig
from nemo_core.data.batch import Batch
from nemo_core.model.decoder import Decoder
from nemo_core.train.objective import next_token_loss
from nemo_core.train.optimizer import build_optimizer

ROWS, LENGTH, ROUNDS, WARMUP = 8, 256, 8, 2
SHAPE = ModelConfig(
    vocab_size=4096,
    hidden_size=320,
    num_layers=6,
    num_heads=5,
    num_kv_heads=5,
    head_dim=64,
    ffn_size=864,
    max_positions=LENGTH,
    tied_embeddings=False,
)

Step = Callable[[torch.Tensor], float]


def ours(model: Decoder) -> Step:
    """A step as `nemo-core pretrain` makes it."""
    optimizer = build_optimizer(model, learning_rate=1e-4, weight_decay=0.1, betas=(0.9, 0.95))

    def step(tokens_BT: torch.Tensor) -> float:
        batch = Batch(tokens_BT[:, :-1], tokens_BT[:, 1:])
        optimizer.zero_grad()
        loss = next_token_loss(model, batch) / batch.num_targets
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


def theirs(folder: str) -> Step:
    """A step as transformers users write it."""
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, betas=(0.9, 0.95))

    def step(tokens_BT: torch.Tensor) -> float:
        optimizer.zero_grad()
        ids_BT, targets_BT = tokens_BT[:, :-1], tokens_BT[:, 1:].contiguous()
        loss = model(ids_BT, shift_labels=targets_BT, labels=targets_BT, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


def main() -> None:
    """Print one line per contestant."""
    draw = torch.Generator().manual_seed(0)
    batches = [torch.randint(0, SHAPE.vocab_size, (ROWS, LENGTH + 1), generator=draw) for _ in range(ROUNDS)]
    model = Decoder(SHAPE, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, folder)
        steps = {"nemo-core": ours(model.train()), "transformers": theirs(folder)}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    losses: dict[str, list[float]] = {name: [] for name in steps}
    for tokens_BT in batches:
        for name, step in steps.items():
            started = time.process_time()
            losses[name].append(step(tokens_BT))
            seconds[name].append(time.process_time() - started)
    least = {name: min(values[WARMUP:]) for name, values in seconds.items()}
    for name, value in least.items():
        row = {
            "name": name,
            "parameters": SHAPE.num_parameters,
            "cpu_s_per_step": round(value, 3),
            "tokens_per_cpu_s": round(ROWS * LENGTH / value, 1),
            "gflop_per_cpu_s": round(ROWS * LENGTH * SHAPE.flops_per_token(LENGTH) / value / 1e9, 1),
            "ratio": round(value / least["nemo-core"], 3),
            "first_loss": round(losses[name][0], 5),
            "last_loss": round(losses[name][-1], 5),
        }
        print(json.dumps(row))


if __name__ == "__main__":
    main()
