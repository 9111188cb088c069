"""nemo-core's inference engine behind the engine protocol."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nemo_core.checkpoint.folder import load_config, load_model
from nemo_core.foundation.errors import ConfigError
from nemo_core.inference import Delta as CoreDelta
from nemo_core.inference import Engine as CoreEngine
from nemo_core.inference import Request, SamplingParams
from nemo_core.model.decoder import Decoder
from nemo_core.tokenizer.load import Tokenizer, load_tokenizer

from .protocol import Delta, GenerateRequest, LoadedModel, TokenLogprob

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class TorchEngine:
    """Continuous batching in this process."""

    def __init__(self, model: Decoder, tokenizer: Tokenizer, *, max_slots: int, max_length: int) -> None:
        self.max_slots, self.max_length = max_slots, max_length
        self._engine = CoreEngine(model, tokenizer, max_slots=max_slots, max_length=max_length)

    @property
    def has_work(self) -> bool:
        """Whether a request is running or waiting."""
        return self._engine.has_work

    @property
    def num_running(self) -> int:
        """Requests that hold a slot."""
        return self._engine.num_running

    def add(self, request: GenerateRequest) -> None:
        """Queue a request."""
        self._engine.add(Request(id=request.id, prompt_ids=request.prompt_ids, sampling=sampling(request)))

    def cancel(self, request_id: int) -> None:
        """Free the request's slot."""
        self._engine.cancel(request_id)

    def step(self) -> list[Delta]:
        """Advance every running request."""
        return [translated(delta) for delta in self._engine.step()]

    def score(self, prompt_ids: Sequence[int], *, top: int) -> list[TokenLogprob]:
        """Log-probabilities of the prompt's tokens after the first."""
        scored = self._engine.score(prompt_ids, top=top)
        return [TokenLogprob(token, *score) for token, score in zip(prompt_ids[1:], scored, strict=True)]


def translated(delta: CoreDelta) -> Delta:
    """The delta in the protocol's words."""
    logprobs = [
        TokenLogprob(token, logprob, top)
        for token, logprob, top in zip(delta.token_ids, delta.logprobs, delta.top_logprobs)
    ]
    return Delta(int(delta.id), delta.text, delta.token_ids, logprobs, delta.finish_reason)


def sampling(request: GenerateRequest) -> SamplingParams:
    """How the request wants its tokens chosen, in nemo-core's words."""
    return SamplingParams(
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        min_p=request.min_p,
        repetition_penalty=request.repetition_penalty,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        logit_bias=request.logit_bias,
        min_tokens=request.min_tokens,
        stop=request.stop,
        stop_ids=request.stop_ids,
        seed=request.seed,
        logprobs=request.logprobs,
        ignore_eos=request.ignore_eos,
    )


def load(
    folder: Path, *, device: str, dtype: str, max_slots: int, max_length: int | None, threads: int | None
) -> LoadedModel:
    """The model of a folder, ready to answer. Raises ConfigError for a context longer than the model's."""
    if threads is not None:
        torch.set_num_threads(threads)
    limit = load_config(folder).max_positions
    if max_length is not None and max_length > limit:
        raise ConfigError(f"max_length={max_length}: this model was made for {limit} tokens at most")
    place = choose_device(device)
    model = load_model(folder, device=place, dtype=DTYPES[dtype]).requires_grad_(False)
    tokenizer = load_tokenizer(folder)
    return LoadedModel(
        engine=TorchEngine(model, tokenizer, max_slots=max_slots, max_length=max_length or limit),
        tokenizer=tokenizer,
        facts={"engine": "torch", "device": place, "dtype": dtype, "parameters": num_parameters(model)},
        tokenizer_info=tokenizer_info(folder, tokenizer),
    )


def num_parameters(model: Decoder) -> int:
    """Weights of the model, shared ones once."""
    return sum(weight.numel() for weight in model.parameters())


def choose_device(wanted: str) -> str:
    """The device meant; auto is a GPU where there is one. Raises ConfigError where a GPU is asked for and absent."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda: no GPU is usable here; say device=cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def tokenizer_info(folder: Path, tokenizer: Tokenizer) -> dict[str, Any]:
    """What tokenizer_config.json says, with the chat template."""
    path = folder / "tokenizer_config.json"
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {**values, "vocab_size": tokenizer.vocab_size, "chat_template": tokenizer.chat_template}
