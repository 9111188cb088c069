"""Generation with one thread: nemo-core's engine and transformers' generate.

A random Llama of 44 million parameters, prompts of 128 tokens, greedy, 64 tokens answered, 1 and 16 at a time.
"""

import json
import tempfile
import time
from collections.abc import Callable

import torch
from transformers import AutoModelForCausalLM

from nemo_core.checkpoint.folder import save_model
from nemo_core.config import ModelConfig
from nemo_core.inference import SamplingParams, generate
from nemo_core.model.decoder import Decoder

PROMPT, ANSWER, REPEATS = 128, 64, 3
CONFIG = ModelConfig(
    vocab_size=16384,
    hidden_size=512,
    num_layers=8,
    num_heads=8,
    num_kv_heads=8,
    head_dim=64,
    ffn_size=1536,
    max_positions=PROMPT + ANSWER,
)
Answers = list[list[int]]
Contestant = Callable[[Answers, int], Answers]


def ours(model: Decoder) -> Contestant:
    """nemo-core's engine."""

    def answer(prompts: Answers, count: int) -> Answers:
        sampling = SamplingParams(max_tokens=count, temperature=0.0)
        return [c.token_ids for c in generate(model, None, prompts, sampling, max_slots=len(prompts))]

    return answer


def transformers_generate(model: Decoder) -> Contestant:
    """transformers with its default cache."""
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, folder)
        reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def answer(prompts: Answers, count: int) -> Answers:
        ids = torch.tensor(prompts)
        mask = torch.ones_like(ids)
        with torch.inference_mode():
            found = reference.generate(
                ids, attention_mask=mask, do_sample=False, max_new_tokens=count, eos_token_id=None, pad_token_id=0
            )
        return found[:, ids.shape[1] :].tolist()

    return answer


def cpu_seconds(work: Callable[[], object]) -> float:
    """Least CPU time of a few calls, after one that warms up."""
    work()
    best = float("inf")
    for _ in range(REPEATS):
        before = time.process_time()
        work()
        best = min(best, time.process_time() - before)
    return best


def measure(answer: Contestant, prompts: Answers) -> dict[str, float]:
    """Tokens per CPU second of prefill (with the first answered token) and of decoding after it."""
    first = cpu_seconds(lambda: answer(prompts, 1))
    whole = cpu_seconds(lambda: answer(prompts, ANSWER))
    return {
        "prefill_tokens_per_s": len(prompts) * PROMPT / first,
        "decode_tokens_per_s": len(prompts) * (ANSWER - 1) / (whole - first),
    }


def main() -> None:
    """Print one line per contestant and batch size; `ratio` is how much slower it decodes than ours."""
    torch.set_num_threads(1)
    model = Decoder(CONFIG, seed=0).eval()
    draw = torch.Generator().manual_seed(0)
    contestants = {"nemo-core": ours(model), "transformers": transformers_generate(model)}
    for batch in (1, 16):
        prompts = torch.randint(1, CONFIG.vocab_size, (batch, PROMPT), generator=draw).tolist()
        assert contestants["nemo-core"](prompts, 8) == contestants["transformers"](prompts, 8)
        speeds = {name: measure(answer, prompts) for name, answer in contestants.items()}
        best = speeds["nemo-core"]["decode_tokens_per_s"]
        for name, speed in speeds.items():
            ratio = round(best / speed["decode_tokens_per_s"], 2)
            print(json.dumps({"name": name, "batch": batch, **{k: round(v) for k, v in speed.items()}, "ratio": ratio}))


if __name__ == "__main__":
    main()
