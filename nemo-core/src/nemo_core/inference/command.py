"""``nemo-core generate``."""

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from ..checkpoint.folder import check_folder, check_vocabulary, load_model
from ..foundation import artifact
from ..foundation.errors import InputError
from ..foundation.progress import Progress
from ..foundation.settings import to_plain
from ..peft.adapter import prefix_ids
from ..peft.folder import load_adapter
from ..tokenizer.load import Tokenizer, load_tokenizer
from ..train.device import choose_compute
from .answers import AnswerLog
from .completions import join
from .engine import Engine
from .prompts import Prompt, read_prompts
from .request import Completion, Delta, Request
from .settings import GenerateSettings

PLACES = ("output", "overwrite", "stream", "max_slots", "cache_tokens", "threads", "device")  # change no answer


def run_generate(settings: GenerateSettings) -> dict[str, Any] | list[dict[str, Any]] | None:
    """Answers to the prompts: one record, or a list where there are several; a summary where they go to a file."""
    check_folder(settings.model)
    tokenizer = load_tokenizer(settings.model)
    prompts = read_prompts(settings, tokenizer)
    if settings.output is not None:
        log = AnswerLog(
            settings.output,
            identity=identity(settings),
            overwrite=settings.overwrite,
            inputs={} if settings.prompts is None else {"prompts": settings.prompts},
        )
        return answer_to_file(settings, tokenizer, prompts, log)
    if settings.stream or (settings.stream is None and sys.stdout.isatty() and len(prompts) * settings.count == 1):
        show(settings, tokenizer, prompts)
        return None
    records = [record for _, record in answers(settings, tokenizer, prompts, range(len(prompts) * settings.count))]
    return records[0] if len(records) == 1 else records


def identity(settings: GenerateSettings) -> str:
    """What the answers depend on: model, adapter, prompts and the settings that are no places or sizes."""
    inputs = {name: getattr(settings, name) for name in ("model", "adapter", "prompts")}
    described = artifact.describe_inputs({name: path for name, path in inputs.items() if path is not None})
    rules = {k: v for k, v in to_plain(settings).items() if k not in (*PLACES, *inputs)}
    return artifact.digest_of([rules, {name: value["digest"] for name, value in described.items()}])


def answer_to_file(
    settings: GenerateSettings, tokenizer: Tokenizer, prompts: Sequence[Prompt], log: AnswerLog
) -> dict[str, Any]:
    """Answer what the log does not hold yet, then write the output; figures about it."""
    found = len(log.records)
    if not all(isinstance(record.get("tokens"), int) for record in log.records.values()):
        log.close()
        raise InputError(f"{log.path}: damaged; remove this file to begin again")
    missing = [n for n in range(len(prompts) * settings.count) if n not in log.records]
    try:
        for number, record in answers(settings, tokenizer, prompts, missing, in_order=False) if missing else ():
            row = {k: v for k, v in prompts[number // settings.count].row.items() if k not in record}
            log.add(number, {**row, **record})
    except BaseException:
        log.close()
        raise
    log.finish()
    tokens = sum(record["tokens"] for record in log.records.values())
    return {"output": str(settings.output), "answers": len(log.records), "resumed": found, "tokens": tokens}


def show(settings: GenerateSettings, tokenizer: Tokenizer, prompts: Sequence[Prompt]) -> None:
    """Print one answer while it is made."""
    engine = engine_of(settings, tokenizer, prompts, stream_text=True)
    engine.add(request_of(settings, engine, prompts, 0))
    while engine.has_work:
        for delta in engine.step():
            print(delta.text, end="", flush=True)
    print()


def engine_of(
    settings: GenerateSettings, tokenizer: Tokenizer, prompts: Sequence[Prompt], *, stream_text: bool
) -> Engine:
    """The model with its adapter, and room for the longest prompt and its answer."""
    compute = choose_compute(settings)
    model = load_model(settings.model, device=compute.device, dtype=compute.dtype)
    check_vocabulary(settings.model, model.config, tokenizer)
    if settings.adapter is not None:
        load_adapter(model, settings.adapter)
    longest = max(len(prompt.ids) for prompt in prompts) + len(prefix_ids(model))
    return Engine(
        model,
        tokenizer,
        max_slots=min(settings.max_slots, len(prompts) * settings.count),
        max_length=longest + settings.max_tokens,
        cache_tokens=settings.cache_tokens,
        quantize=settings.quantize,
        stream_text=stream_text,
    )


def request_of(settings: GenerateSettings, engine: Engine, prompts: Sequence[Prompt], number: int) -> Request:
    """Answer `number`; a prompt's answers follow each other, each with a seed of its own."""
    ids = [*prefix_ids(engine.model), *prompts[number // settings.count].ids]
    return Request(id=number, prompt_ids=ids, sampling=settings.sampling(number))


def answers(
    settings: GenerateSettings,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    numbers: Sequence[int],
    *,
    in_order: bool = True,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbers and records of the answers, as they end, or in order; few more than run are put in line at a time."""
    engine = engine_of(settings, tokenizer, prompts, stream_text=False)
    coming, parts, done = deque(numbers), dict[int, list[Delta]](), dict[int, dict[str, Any]]()
    with Progress("generate", total=len(numbers), unit="answers") as progress:
        while coming or engine.has_work:
            while coming and engine.num_waiting < settings.max_slots:
                request = request_of(settings, engine, prompts, number := coming.popleft())
                engine.add(request)
                parts[number] = []
            for delta in engine.step():
                number = int(delta.id)
                parts[number].append(delta)
                if delta.finish_reason is not None:
                    done[number] = record_of(join([], parts.pop(number)), settings)
                    progress.advance(note=f"{engine.stats().tokens_per_s:.0f} tokens/s")
                    if not in_order:
                        yield number, done.pop(number)
    yield from sorted(done.items())


def record_of(completion: Completion, settings: GenerateSettings) -> dict[str, Any]:
    """What is said of an answer."""
    record: dict[str, Any] = {
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "tokens": len(completion.token_ids),
    }
    if settings.logprobs is not None:
        record |= {
            "token_ids": completion.token_ids,
            "logprobs": completion.logprobs,
            "top_logprobs": completion.top_logprobs,
        }
    if settings.prompt_logprobs:
        record["prompt_logprobs"] = completion.prompt_logprobs
    return record
