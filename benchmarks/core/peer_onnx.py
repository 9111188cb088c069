"""onnxruntime-genai for bench_decode: the same weights, exported by its own model builder, with one thread.

Its int8 is of weights alone in blocks of 32; ours rounds activations too. B prompts.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime_genai
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast


def export(folder: Path, output: Path, precision: str, *, vocab_size: int) -> Any:
    """The model of a Hugging Face folder in their format; they want a tokenizer beside it."""
    words = Tokenizer(models.WordLevel({f"t{i}": i for i in range(vocab_size)}, unk_token="t0"))
    PreTrainedTokenizerFast(tokenizer_object=words, bos_token="t1", eos_token="t2", pad_token="t0").save_pretrained(
        folder
    )
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(folder), "-o", str(output)]
    builder += ["-p", precision, "-e", "cpu", "-c", str(output / "cache")]
    subprocess.run(builder, check=True, capture_output=True)
    path = output / "genai_config.json"
    config = json.loads(path.read_text())
    config["model"]["decoder"].setdefault("session_options", {}).update(intra_op_num_threads=1, inter_op_num_threads=1)
    path.write_text(json.dumps(config))
    return onnxruntime_genai.Model(str(output))


def answer(model: Any, prompts: list[list[int]], tokens: int) -> dict[str, float]:
    """First token, and later ones, greedy, in seconds of CPU time."""
    params = onnxruntime_genai.GeneratorParams(model)
    length = len(prompts[0]) + tokens
    params.set_search_options(max_length=length, min_length=length, batch_size=len(prompts), do_sample=False)
    generator = onnxruntime_genai.Generator(model, params)
    started = time.process_time()
    generator.append_tokens(np.array(prompts, np.int32))
    generator.generate_next_token()
    first, seconds = time.process_time() - started, []
    for _ in range(tokens - 1):
        before = time.process_time()
        generator.generate_next_token()
        seconds.append(time.process_time() - before)
    return {"first_token_ms": 1000 * first, "tokens_per_s": len(prompts) / statistics.median(seconds)}
