"""``nemo-core generate`` and ``merge``."""

import json
import os
from pathlib import Path
from typing import Any

import torch

from ..checkpoint.folder import copy_tokenizer, load_model, save_model
from ..foundation import artifact
from ..foundation.errors import InputError
from ..foundation.progress import Progress
from ..foundation.settings import to_plain
from ..peft.lora import load_adapter, merge_lora
from ..tokenizer.load import Tokenizer, load_tokenizer
from .completions import generate
from .request import SamplingParams
from .settings import GenerateSettings, MergeSettings


def run_generate(settings: GenerateSettings) -> dict[str, Any] | list[dict[str, Any]]:
    """Answers to the prompts: one record, or a list where there are several."""
    torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    model = load_model(settings.model)
    if settings.adapter is not None:
        load_adapter(model, settings.adapter)
    tokenizer = load_tokenizer(settings.model)
    asked = [ids for ids in read_prompts(settings, tokenizer) for _ in range(settings.count)]
    sampling = SamplingParams(
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        seed=settings.seed,
    )
    with Progress("generate", total=len(asked), unit="answers") as progress:
        done = generate(
            model, tokenizer, asked, sampling, max_slots=settings.max_slots, on_finish=lambda _: progress.advance()
        )
    records = [{"text": c.text, "finish_reason": c.finish_reason, "tokens": len(c.token_ids)} for c in done]
    return records[0] if len(records) == 1 else records


def read_prompts(settings: GenerateSettings, tokenizer: Tokenizer) -> list[list[int]]:
    """Token ids of every prompt. Raises InputError naming file and line for a line that holds none."""
    if settings.prompt is not None:
        return [tokenizer.encode(settings.prompt)]
    if settings.chat is not None:
        return [tokenizer.encode_chat([{"role": "user", "content": settings.chat}], add_generation_prompt=True)]
    path = Path(str(settings.prompts))
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    prompts = [prompt_of(line, f"{path}:{number}", tokenizer) for number, line in enumerate(lines, 1) if line.strip()]
    if not prompts:
        raise InputError(f"{path}: holds no prompt")
    return prompts


def prompt_of(line: str, place: str, tokenizer: Tokenizer) -> list[int]:
    """Token ids of one JSONL line with `prompt` or `messages`."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{place}: not JSON ({error})") from None
    if isinstance(row, dict) and isinstance(row.get("prompt"), str):
        return tokenizer.encode(row["prompt"])
    if isinstance(row, dict) and isinstance(row.get("messages"), list):
        return tokenizer.encode_chat(row["messages"], add_generation_prompt=True)
    raise InputError(f"{place}: neither a `prompt` text nor a `messages` list")


def run_merge(settings: MergeSettings) -> dict[str, Any]:
    """Write the model with its adapter added into the weights."""
    inputs = {"model": settings.model, "adapter": settings.adapter}
    with artifact.create(
        settings.output,
        kind="checkpoint",
        package="nemo-core",
        config=to_plain(settings),
        inputs=inputs,
        overwrite=settings.overwrite,
    ) as draft:
        model = merge_lora(load_adapter(load_model(settings.model), settings.adapter))
        save_model(model, draft.path)
        copy_tokenizer(settings.model, draft.path)
        draft.stats |= {"objective": "merge", "parameters": model.config.num_parameters}
    return {"output": str(settings.output), "parameters": model.config.num_parameters}
