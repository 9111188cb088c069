"""CPU seconds per step of DPO and GRPO, ours and TRL's, on the same tiny model and data, one thread.

    python benchmarks/aligner/bench_steps.py            # needs: pip install './nemo-aligner[trl]'

A step's cost is the slope between a short and a long run, so that start-up does not count.
"""

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer

from nemo_aligner import train
from nemo_aligner.selftest.toys import Toys, make_toys

SHORT, LONG = 5, 45
TRL = {"report_to": [], "use_cpu": True, "bf16": False, "activation_checkpointing": False, "save_strategy": "no"}
TRL |= {"logging_strategy": "no", "disable_tqdm": True}


def cost(run: Callable[[int], None]) -> float:
    """CPU seconds per step; the first run only warms up (imports, data sets that are prepared once)."""
    spent = []
    for steps in (1, SHORT, LONG):
        started = time.process_time()
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            run(steps)
        spent.append(time.process_time() - started)
    return (spent[2] - spent[1]) / (LONG - SHORT)


def our_dpo(toys: Toys, folder: Path) -> Callable[[int], None]:
    def run(steps: int) -> None:
        train(
            "dpo",
            model=toys.model,
            preferences=toys.digits_to_sort,
            output=folder / f"dpo-{steps}",
            steps=steps,
            batch_size=16,
            learning_rate=1e-3,
            validation_pairs=1,
            save_every=1000,
        )

    return run


def their_dpo(toys: Toys, folder: Path) -> Callable[[int], None]:
    rows = [json.loads(line) for line in (toys.digits_to_sort / "data/train.jsonl").read_text().splitlines()]
    chat = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    data = Dataset.from_list(
        [{key: [{"role": role, "content": row[key]}] for key, role in chat.items()} for row in rows[:400]]
    )

    def run(steps: int) -> None:
        config = DPOConfig(
            output_dir=str(folder / "trl"), max_steps=steps, per_device_train_batch_size=16, learning_rate=1e-3, **TRL
        )
        model = AutoModelForCausalLM.from_pretrained(toys.model, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(toys.model)
        DPOTrainer(model, args=config, processing_class=tokenizer, train_dataset=data).train()

    return run


def our_grpo(toys: Toys, folder: Path, tokens: int) -> Callable[[int], None]:
    def run(steps: int) -> None:
        train(
            "grpo",
            model=toys.model,
            conversations=toys.digits_to_repeat,
            output=folder / f"grpo-{tokens}-{steps}",
            steps=steps,
            max_tokens=tokens,
            kl_beta=0.0,
            temperature=1.0,
            learning_rate=1e-4,
            validation_prompts=1,
            save_every=1000,
            rewards=[{"use": "nemo_aligner.selftest.toys:repeats_digit"}],
        )

    return run


def their_grpo(toys: Toys, folder: Path, tokens: int) -> Callable[[int], None]:
    data = Dataset.from_list([{"prompt": [{"role": "user", "content": str(n % 10)}]} for n in range(400)])

    def reward(completions: list[list[dict[str, str]]], **_: object) -> list[float]:
        return [completion[0]["content"].count("1") / 16 for completion in completions]

    def run(steps: int) -> None:
        config = GRPOConfig(
            output_dir=str(folder / "trl"),
            max_steps=steps,
            per_device_train_batch_size=64,
            num_generations=8,
            max_completion_length=tokens,
            learning_rate=1e-4,
            **TRL,
        )
        tokenizer = AutoTokenizer.from_pretrained(toys.model)
        GRPOTrainer(
            str(toys.model), reward_funcs=reward, args=config, processing_class=tokenizer, train_dataset=data
        ).train()

    return run


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        toys = make_toys(folder / "toys")
        cases = {"dpo, 16 pairs": (our_dpo(toys, folder), their_dpo(toys, folder))}
        for tokens in (16, 40):
            cases[f"grpo, 8 x 8 x {tokens} tokens"] = (our_grpo(toys, folder, tokens), their_grpo(toys, folder, tokens))
        print("| step | nemo-aligner, CPU s | TRL, CPU s | ratio |\n|---|---|---|---|")
        for label, (ours, theirs) in cases.items():
            mine, other = cost(ours), cost(theirs)
            print(f"| {label} | {mine:.3f} | {other:.3f} | {other / mine:.1f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
