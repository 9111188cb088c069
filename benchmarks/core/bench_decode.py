"""Generation with one thread: nemo-core's engine, in fp32 and int8, transformers' generate, and onnxruntime-genai.

A random Llama of 44 million parameters, prompts of 128 tokens, greedy, 64 tokens answered, 1 and 16 at a time; seconds
of CPU time. Every round measures everybody, because a shared machine is faster in one minute than in the next; figures
are medians over rounds, `ratio` is to transformers in the same round. `share_of_limit` is how near batch 1 comes to
reading its weights once per token, at the speed with which this machine just summed as many bytes.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peer_onnx
import torch
from transformers import AutoModelForCausalLM, DynamicCache

from nemo_core.checkpoint.folder import save_model
from nemo_core.config import ModelConfig
from nemo_core.inference import Engine, Request, SamplingParams
from nemo_core.model.decoder import Decoder

PROMPT, ANSWER, ROUNDS, BATCHES = 128, 64, 5, (1, 16)
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
Prompts = list[list[int]]
Figures = dict[str, float]
DRAW = torch.Generator().manual_seed(0)


def draw_prompts(count: int) -> Prompts:
    """Prompts that nobody has seen."""
    found: Prompts = torch.randint(1, CONFIG.vocab_size, (count, PROMPT), generator=DRAW).tolist()
    return found


def timed(work: Callable[[], object]) -> float:
    """Seconds of CPU time."""
    before = time.process_time()
    work()
    return time.process_time() - before


def steps(engine: Engine, prompts: Prompts) -> tuple[list[float], Prompts]:
    """Seconds of each step that answers `prompts`, and the answers."""
    for index, prompt in enumerate(prompts):
        engine.add(Request(id=index, prompt_ids=prompt, sampling=SamplingParams(max_tokens=ANSWER, temperature=0.0)))
    seconds, answers = [], [list[int]() for _ in prompts]
    while engine.has_work:
        before = time.process_time()
        deltas = engine.step()
        seconds.append(time.process_time() - before)
        for delta in deltas:
            answers[int(delta.id)] += delta.token_ids
    return seconds, answers


def ours(engine: Engine, prompts: Prompts) -> Figures:
    """First token, later tokens, and the first token where all but one token of the prompt is cached."""
    seconds, _ = steps(engine, prompts)
    again, _ = steps(engine, [[*prompt[:-1], 7] for prompt in prompts])
    return {
        "first_token_ms": 1000 * seconds[0],
        "tokens_per_s": len(prompts) / statistics.median(seconds[1:]),
        "prefix_hit_ms": 1000 * again[0],
    }


def transformers_model(model: Decoder) -> AutoModelForCausalLM:
    """The same weights."""
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, folder)
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def onnx_models(model: Decoder, folder: Path) -> dict[str, Any]:
    """The same weights for onnxruntime-genai, by precision."""
    save_model(model, folder / "model")
    sizes = {"vocab_size": CONFIG.vocab_size}
    return {name: peer_onnx.export(folder / "model", folder / name, name, **sizes) for name in ("fp32", "int8")}


def transformers_steps(reference: AutoModelForCausalLM, prompts: Prompts) -> Iterator[tuple[float, torch.Tensor]]:
    """Seconds and token ids of each forward pass, without what `generate` does around it."""
    ids, cache = torch.tensor(prompts), DynamicCache()
    for _ in range(ANSWER):
        before = time.process_time()
        with torch.inference_mode():
            out = reference(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            ids = out.logits[:, -1:].argmax(-1)
        yield time.process_time() - before, ids[:, 0]


def theirs(reference: AutoModelForCausalLM, prompts: Prompts) -> Figures:
    """transformers with its default cache, through `generate`."""
    ids = torch.tensor(prompts)
    mask = torch.ones_like(ids)
    asked = {"attention_mask": mask, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    with torch.inference_mode():
        first = timed(lambda: reference.generate(ids, max_new_tokens=1, **asked))
        whole = timed(lambda: reference.generate(ids, max_new_tokens=ANSWER, **asked))
    bare = statistics.median([seconds for seconds, _ in transformers_steps(reference, prompts)][1:])
    return {
        "first_token_ms": 1000 * first,
        "tokens_per_s": len(prompts) * (ANSWER - 1) / (whole - first),
        "tokens_per_s_without_generate": len(prompts) / bare,
    }


def check_equal(engine: Engine, reference: AutoModelForCausalLM) -> None:
    """Both answer alike."""
    prompts = draw_prompts(2)
    _, found = steps(engine, prompts)
    wanted = torch.stack([ids for _, ids in transformers_steps(reference, prompts)], 1).tolist()
    assert found == wanted, "the answers differ from transformers'"


def weights_per_s(model: Decoder) -> float:
    """How often per second this machine reads as many bytes as a token needs: all weights but the embedding."""
    count = CONFIG.num_parameters - CONFIG.vocab_size * CONFIG.hidden_size
    data = torch.ones(count)
    return 1 / min(timed(data.sum) for _ in range(3))


def measure_round(
    contestants: dict[str, Callable[[Prompts], Figures]], model: Decoder
) -> dict[tuple[str, int], Figures]:
    """Everybody once at each batch size, with the bandwidth measured beside batch 1."""
    found: dict[tuple[str, int], Figures] = {}
    for batch in BATCHES:
        prompts = draw_prompts(batch)
        limit = weights_per_s(model)
        for name, answer in contestants.items():
            found[name, batch] = answer(prompts)
        peer = found["transformers", batch]
        for name in contestants:
            figures = found[name, batch]
            figures["ratio"] = figures["tokens_per_s"] / peer["tokens_per_s"]
            figures["first_token_ratio"] = figures["first_token_ms"] / peer["first_token_ms"]
            if batch == 1:
                figures["share_of_limit"] = figures["tokens_per_s"] / limit
    return found


def main() -> None:
    """Print one line for each contestant and batch size."""
    torch.set_num_threads(1)
    model = Decoder(CONFIG, seed=0).eval().requires_grad_(False)
    reference = transformers_model(model)
    engines = {name: Engine(model, None, quantize=name) for name in ("none", "int8")}
    check_equal(engines["none"], reference)
    with tempfile.TemporaryDirectory() as folder:
        others = onnx_models(model, Path(folder))
        compete(engines, reference, others, model)


def compete(
    engines: dict[str, Engine], reference: AutoModelForCausalLM, others: dict[str, Any], model: Decoder
) -> None:
    """Every contestant in every round; print the medians."""
    contestants: dict[str, Callable[[Prompts], Figures]] = {
        "nemo-core": lambda prompts: ours(engines["none"], prompts),
        "nemo-core int8": lambda prompts: ours(engines["int8"], prompts),
        "transformers": lambda prompts: theirs(reference, prompts),
        "onnxruntime-genai": lambda prompts: peer_onnx.answer(others["fp32"], prompts, ANSWER),
        "onnxruntime-genai int8": lambda prompts: peer_onnx.answer(others["int8"], prompts, ANSWER),
    }
    rounds = [measure_round(contestants, model) for _ in range(ROUNDS)]
    for key in rounds[0]:
        figures = {name: statistics.median(r[key][name] for r in rounds) for name in rounds[0][key]}
        rounded = {name: float(f"{value:.3g}") for name, value in figures.items()}
        print(json.dumps({"name": key[0], "batch": key[1], **rounded}))


if __name__ == "__main__":
    main()
