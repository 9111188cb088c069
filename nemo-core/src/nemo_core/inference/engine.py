"""The engine: requests in, tokens out, one step at a time, as many at once as there are rows."""

import secrets
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from ..foundation.errors import InputError
from ..model.decoder import Decoder
from ..tokenizer.load import Tokenizer
from .kv_cache import KVCache
from .packed import PackedDecoder
from .request import Delta, Request
from .sampling import RowRules, choose, penalise, row_rules, uniform
from .scheduler import Limits, admit
from .sequence import Sequence as Running


class Engine:
    """Continuous batching over a dense key/value cache.

    Takes the weights as they are now (adapters included); make a new engine after changing them. `tokenizer` None
    gives ids without text. With `stream_text` false, text comes with the last delta only, which is cheaper.
    Use from one thread at a time.
    """

    def __init__(
        self,
        model: Decoder,
        tokenizer: Tokenizer | None,
        *,
        max_slots: int = 16,
        max_length: int | None = None,
        max_prefill_tokens: int = 8192,
        stream_text: bool = True,
    ) -> None:
        config = model.config
        if tokenizer is not None and tokenizer.vocab_size > config.vocab_size:
            raise InputError(
                f"the tokenizer has {tokenizer.vocab_size} ids, the model {config.vocab_size}: not made for each other"
            )
        self.max_length = min(max_length or config.max_positions, config.max_positions)
        self.max_slots = max_slots
        self.tokenizer = tokenizer
        self.stream_text = stream_text
        self.limits = Limits(max_slots=max_slots, max_prefill_tokens=max_prefill_tokens)
        self.packed = PackedDecoder(model)
        weight = self.packed.embedding
        self.device = weight.device
        self.cache = KVCache(
            config, rows=max_slots, max_length=self.max_length, dtype=weight.dtype, device=weight.device
        )
        self.stop_ids = frozenset() if tokenizer is None else tokenizer.stop_ids
        self.waiting: deque[Running] = deque()
        self.running: list[Running] = []
        self._rules: RowRules | None = None

    @property
    def has_work(self) -> bool:
        """Whether a request is running or waiting."""
        return bool(self.running or self.waiting)

    @property
    def num_running(self) -> int:
        """Requests that hold a row of the cache."""
        return len(self.running)

    def add(self, request: Request) -> None:
        """Queue a request. Raises InputError where it can never run."""
        length = len(request.prompt_ids)
        if length == 0:
            raise InputError("the prompt is empty; give at least one token")
        if length >= self.max_length:
            raise InputError(
                f"the prompt has {length} tokens; with room for an answer at most {self.max_length - 1} fit this model"
            )
        vocabulary = self.packed.config.vocab_size
        wrong = next((i for i in request.prompt_ids if not 0 <= i < vocabulary), None)
        if wrong is not None:
            raise InputError(f"token id {wrong} is outside the vocabulary of {vocabulary} tokens")
        if request.sampling.stop and self.tokenizer is None:
            raise InputError("stop strings need a tokenizer; this engine was made without one")
        seed = request.sampling.seed if request.sampling.seed is not None else secrets.randbits(63)
        stop_ids = frozenset(request.sampling.stop_ids)
        if not request.sampling.ignore_eos:
            stop_ids |= self.stop_ids
        self.waiting.append(
            Running(
                request,
                seed=seed,
                stop_ids=stop_ids,
                room=self.max_length - length,
                tokenizer=self.tokenizer,
                stream_text=self.stream_text,
            )
        )

    def cancel(self, request_id: str | int) -> None:
        """Forget a request at once; no further delta names it. Unknown ids are ignored: it may just have ended."""
        self.waiting = deque(w for w in self.waiting if w.request.id != request_id)
        for row in reversed(range(len(self.running))):
            if self.running[row].request.id == request_id:
                self._release(row)

    @torch.inference_mode()
    def step(self) -> list[Delta]:
        """Start what fits, add one token to every running request, and say what each gained."""
        started = self._admit()
        old = len(self.running)
        hidden: list[Tensor] = []
        if old:
            last_N = torch.tensor([r.token_ids[-1] for r in self.running], device=self.device)
            hidden.append(self.packed.decode(last_N, self.cache))
        if started:
            hidden.append(self._prefill(started))
            self.running += started
            self._rules = None
        if not self.running:
            return []
        return self._extend(self.packed.logits(torch.cat(hidden)))

    def _admit(self) -> list[Running]:
        count = admit([len(w.request.prompt_ids) for w in self.waiting], len(self.running), self.limits)
        return [self.waiting.popleft() for _ in range(count)]

    def _prefill(self, started: Sequence[Running]) -> Tensor:
        """Read the prompts, equal ones once, into new rows; the last hidden state of each, [N,E]."""
        unique = list(dict.fromkeys(tuple(r.request.prompt_ids) for r in started))
        place = {prompt: index for index, prompt in enumerate(unique)}
        width = max(map(len, unique))
        ids_MT = torch.zeros(len(unique), width, dtype=torch.long, device=self.device)
        for index, prompt in enumerate(unique):
            ids_MT[index, : len(prompt)] = torch.tensor(prompt, device=self.device)
        hidden_MTE, stored = self.packed.prefill(ids_MT)
        source = [place[tuple(r.request.prompt_ids)] for r in started]
        lengths = [len(r.request.prompt_ids) for r in started]
        self.cache.fill(stored, source, lengths)
        return hidden_MTE[source, [length - 1 for length in lengths]]

    def _extend(self, logits_NV: Tensor) -> list[Delta]:
        if self._rules is None:
            self._rules = row_rules([r.sampling for r in self.running], self.device)
        scores_NV = logits_NV
        if self._rules.uses_penalty:
            scores_NV = penalise(logits_NV, self._seen(logits_NV), self._rules.penalty_N1)
        numbers = [-1.0 if r.sampling.temperature == 0 else uniform(r.seed, len(r.token_ids)) for r in self.running]
        chosen_N = choose(scores_NV, self._rules, numbers)
        logprobs = self._logprobs(logits_NV, chosen_N)
        deltas = [
            running.accept(token, *logprob)
            for running, token, logprob in zip(self.running, chosen_N.tolist(), logprobs)
        ]
        for row in reversed(range(len(deltas))):
            if deltas[row].finish_reason is not None:
                self._release(row)
        return [d for d in deltas if d.token_ids or d.text or d.finish_reason]

    def _logprobs(self, logits_NV: Tensor, chosen_N: Tensor) -> list[tuple[float | None, list[tuple[int, float]]]]:
        """Log-probability of each row's token and its likeliest alternatives, where asked for."""
        wanted = [r.sampling.logprobs for r in self.running]
        if all(count is None for count in wanted):
            return [(None, [])] * len(wanted)
        scale = [r.sampling.temperature or 1.0 if r.sampling.scaled_logprobs else 1.0 for r in self.running]
        if any(s != 1.0 for s in scale):
            logits_NV = logits_NV / torch.tensor(scale, device=self.device)[:, None]
        normalizer_N = logits_NV.logsumexp(-1)
        own = (logits_NV.gather(1, chosen_N[:, None]).squeeze(1) - normalizer_N).tolist()
        widest = max(count or 0 for count in wanted)
        tops: list[list[tuple[int, float]]] = [[] for _ in wanted]
        if widest:
            best = logits_NV.topk(min(widest, logits_NV.shape[1]), -1)
            values = (best.values - normalizer_N[:, None]).tolist()
            tops = [list(zip(i, v))[: c or 0] for i, v, c in zip(best.indices.tolist(), values, wanted)]
        return [(None if c is None else logp, top) for c, logp, top in zip(wanted, own, tops)]

    def _seen(self, logits_NV: Tensor) -> Tensor:
        seen_NV = torch.zeros_like(logits_NV, dtype=torch.bool)
        for row, running in enumerate(self.running):
            seen_NV[row, [*running.request.prompt_ids, *running.token_ids]] = True
        return seen_NV

    def _release(self, row: int) -> None:
        """Free a row of cache and list alike: the last one moves into its place."""
        self.cache.remove(row)
        self.running[row] = self.running[-1]
        self.running.pop()
        self._rules = None

    @torch.inference_mode()
    def score(self, ids: Sequence[int], *, top: int = 0) -> list[tuple[float, list[tuple[int, float]]]]:
        """Log-probability of tokens 1, 2, ... given those before, with the `top` likeliest; one fewer than `ids`."""
        if not 1 <= len(ids) <= self.max_length:
            raise InputError(f"{len(ids)} tokens cannot be scored; this model takes 1 to {self.max_length}")
        hidden_1TE, _ = self.packed.prefill(torch.tensor([list(ids)], device=self.device))
        logp_TV = self.packed.logits(hidden_1TE[0, :-1]).log_softmax(-1)
        own = logp_TV.gather(1, torch.tensor(list(ids[1:]), device=self.device)[:, None]).squeeze(1).tolist()
        if not top:
            return [(value, []) for value in own]
        best = logp_TV.topk(min(top, logp_TV.shape[1]), -1)
        return [(o, list(zip(i, v))) for o, i, v in zip(own, best.indices.tolist(), best.values.tolist())]
