"""nemo-core's inference engine behind the engine protocol.

T position, V vocabulary, K alternatives.
"""

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
SCORE_CHUNK = 256  # positions whose logits over the vocabulary are held at once


class TorchEngine:
    """Continuous batching in this process."""

    def __init__(self, model: Decoder, tokenizer: Tokenizer, *, max_slots: int, max_length: int) -> None:
        self.max_slots, self.max_length = max_slots, max_length
        self._model = model
        self._engine = CoreEngine(model, tokenizer, max_slots=max_slots, max_length=max_length)
        self._pending: set[int] = set()

    @property
    def has_work(self) -> bool:
        """Whether a request is running or waiting."""
        return bool(self._pending)

    @property
    def num_running(self) -> int:
        """Requests that hold a slot."""
        return min(self.max_slots, len(self._pending))

    def add(self, request: GenerateRequest) -> None:
        """Queue a request."""
        self._engine.add(Request(request.id, list(request.prompt_ids), sampling(request)))
        self._pending.add(request.id)

    def cancel(self, request_id: int) -> None:
        """Free the request's slot."""
        if request_id in self._pending:
            self._pending.discard(request_id)
            self._engine.cancel(request_id)

    def step(self) -> list[Delta]:
        """Advance every running request."""
        return [self._translated(delta) for delta in self._engine.step()]

    def _translated(self, delta: CoreDelta) -> Delta:
        if delta.finish_reason is not None:
            self._pending.discard(delta.id)
        return Delta(delta.id, delta.text, delta.token_ids, delta.logprobs, delta.finish_reason)

    @torch.inference_mode()
    def score(self, prompt_ids: Sequence[int], *, top: int) -> list[TokenLogprob]:
        """Log-probabilities of the prompt's tokens after the first, a chunk of positions at a time."""
        device = self._model.head_weight.device
        ids_T = torch.tensor(prompt_ids, device=device)
        hidden_TE = self._model(ids_T[None, :-1])[0]
        scored: list[TokenLogprob] = []
        for start in range(0, len(hidden_TE), SCORE_CHUNK):
            logprob_TV = self._model.logits(hidden_TE[start : start + SCORE_CHUNK]).float().log_softmax(-1)
            targets_T = ids_T[start + 1 : start + 1 + len(logprob_TV)]
            scored += table(logprob_TV, targets_T, top=top)
        return scored


def table(logprob_TV: torch.Tensor, targets_T: torch.Tensor, *, top: int) -> list[TokenLogprob]:
    """Each target's log-probability and the `top` likeliest tokens at its place."""
    chosen_T = logprob_TV.gather(-1, targets_T[:, None])[:, 0].tolist()
    best_TK = logprob_TV.topk(top, dim=-1)
    return [
        TokenLogprob(token, logprob, list(zip(ids, values, strict=True)))
        for token, logprob, ids, values in zip(
            targets_T.tolist(), chosen_T, best_TK.indices.tolist(), best_TK.values.tolist(), strict=True
        )
    ]


def sampling(request: GenerateRequest) -> SamplingParams:
    """The request in nemo-core's words."""
    return SamplingParams(
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        min_p=request.min_p,
        repetition_penalty=request.repetition_penalty,
        stop=request.stop,
        seed=request.seed,
        logprobs=request.logprobs or 0,
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
    engine = TorchEngine(model, tokenizer, max_slots=max_slots, max_length=max_length or limit)
    parameters = sum(weight.numel() for weight in model.parameters())
    facts = {"engine": "torch", "device": place, "dtype": dtype, "parameters": parameters}
    return LoadedModel(
        engine=engine, tokenizer=tokenizer, facts=facts, tokenizer_info=tokenizer_info(folder, tokenizer)
    )


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
