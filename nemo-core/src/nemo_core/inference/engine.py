"""Continuous batching: requests join and leave between steps, and every step computes a token for all of them.

R rows (slots whose next token is due), V vocabulary, E hidden width, N chunks, T tokens.
"""

from collections.abc import Sequence as Seq

import numpy as np
import torch
from torch import Tensor

from ..foundation.errors import InputError, SuiteError
from ..model.decoder import Decoder
from ..tokenizer.load import Tokenizer
from .batch import Batch
from .kv_cache import KVCache
from .request import Alternatives, Delta, Request, RequestId
from .runner import Runner
from .sampling import SamplingTable, alternatives, draw, penalize, report, uniforms
from .scheduler import Admission, Chunk, Plan, plan_step
from .sequence import Sequence

PREFILL_TOKENS = 2048  # prompt tokens computed in one step at most, so that running answers never wait long
SCORED_TOKENS = 256  # rows of scores over the vocabulary held at a time


class Engine:
    """Generates for up to `max_slots` requests at once; more wait in line. Drive it from one thread at a time.

    `max_length` bounds prompt and answer together (default: the model's positions); an answer that would pass it ends
    with finish reason "length". The weights are taken as they are now, adapters included: make a new engine after
    training. `tokenizer` None gives ids without text. With `stream_text` false, text comes with the last delta only,
    which is cheaper. Raises InputError where the tokenizer has ids that the model lacks.
    """

    def __init__(
        self,
        model: Decoder,
        tokenizer: Tokenizer | None,
        *,
        max_slots: int = 16,
        max_length: int | None = None,
        max_prefill_tokens: int = PREFILL_TOKENS,
        stream_text: bool = True,
    ) -> None:
        config = model.config
        check_fit(tokenizer, config.vocab_size, max_slots=max_slots, max_prefill_tokens=max_prefill_tokens)
        self.tokenizer, self.stream_text = tokenizer, stream_text
        self.max_slots, self.max_prefill_tokens = max_slots, max_prefill_tokens
        self.max_length = min(max_length or config.max_positions, config.max_positions)
        self.vocab_size = config.vocab_size
        with torch.inference_mode():
            self.runner = Runner(model)
            self.device = self.runner.embedding_VE.device
            self.cache = self._new_cache(max_slots)
        self._waiting: list[Sequence] = []
        self._active: list[Sequence] = []
        self._retired: dict[int, Sequence] = {}
        self._rules: tuple[list[Sequence], SamplingTable] | None = None

    def _new_cache(self, slots: int) -> KVCache:
        weight = self.runner.embedding_VE
        return KVCache(
            self.runner.config, slots=slots, length=self.max_length, device=weight.device, dtype=weight.dtype
        )

    @property
    def has_work(self) -> bool:
        """Whether a request is running or waiting."""
        return bool(self._active or self._waiting)

    @property
    def num_running(self) -> int:
        """Requests that hold a slot."""
        return len(self._active)

    @property
    def num_waiting(self) -> int:
        """Requests that wait for a slot."""
        return len(self._waiting)

    def add(self, request: Request) -> None:
        """Put a request in line; `max_tokens` beyond the room left is cut to it.

        Raises InputError for an empty prompt, one that leaves no room for an answer, a token that the model does not
        have, or stop strings where there is no tokenizer to find them.
        """
        length = len(request.prompt_ids)
        if length == 0:
            raise InputError("the prompt is empty; give at least one token")
        if length >= self.max_length:
            raise InputError(
                f"the prompt has {length} tokens; with room for an answer at most {self.max_length - 1} fit this model"
            )
        wrong = next((i for i in request.prompt_ids if not 0 <= i < self.vocab_size), None)
        if wrong is not None:
            raise InputError(f"token id {wrong} is outside the vocabulary of {self.vocab_size} tokens")
        if request.sampling.stop and self.tokenizer is None:
            raise InputError("stop strings need a tokenizer; this engine was made without one")
        self._waiting.append(
            Sequence(request, room=self.max_length - length, tokenizer=self.tokenizer, stream_text=self.stream_text)
        )

    def cancel(self, request_id: RequestId) -> None:
        """Forget a request at once; no further delta names it. Unknown ids are ignored: it may just have ended."""
        self._waiting = [s for s in self._waiting if s.request.id != request_id]
        for slot in reversed(range(len(self._active))):
            if self._active[slot].request.id == request_id:
                self._retire(slot)

    @torch.inference_mode()
    def step(self) -> list[Delta]:
        """Advance every running request, start what fits, and say what each gained."""
        plan = self._plan()
        self._admit(plan.admissions)
        if not plan.chunks:
            return []
        rows, logits_RV = self._compute(plan.chunks)
        return self._extend(rows, logits_RV) if rows else []

    def _plan(self) -> Plan:
        return plan_step(
            self._active,
            self._retired,
            [s.tokens for s in self._waiting],
            max_slots=self.max_slots,
            budget=self.max_prefill_tokens,
        )

    def _admit(self, admissions: Seq[Admission]) -> None:
        for admission in admissions:
            sequence = self._waiting[admission.waiting]
            self.cache.reserve(len(sequence.tokens))
            self.cache.copy(admission.donor, admission.slot, admission.shared)
            sequence.num_cached = admission.shared
            self._retired.pop(admission.slot, None)
            self._active.append(sequence)
        admitted = {admission.waiting for admission in admissions}
        if admitted:
            self._waiting = [s for index, s in enumerate(self._waiting) if index not in admitted]

    def _compute(self, chunks: list[Chunk]) -> tuple[list[Sequence], Tensor]:
        """Run the chunks; the sequences whose next token is due, and their scores [R, V] in fp32."""
        chunks = sorted(chunks, key=lambda c: c.stop - c.start > 1)
        self.cache.reserve(max(c.stop for c in chunks))
        tokens = [s.tokens for s in self._active]
        batch = Batch.of(chunks, tokens, positions=self.cache.positions, device=self.device)
        hidden_NE = self.runner.hidden(batch, self.cache)
        rows, ends = [], []
        for chunk, end in zip(chunks, batch.ends):
            sequence = self._active[chunk.slot]
            sequence.num_cached = chunk.stop
            if chunk.stop == len(sequence.tokens):
                rows.append(sequence)
                ends.append(end)
        due_RE = hidden_NE if len(ends) == len(hidden_NE) else hidden_NE[ends]
        return rows, self.runner.logits(due_RE)

    def _extend(self, rows: list[Sequence], logits_RV: Tensor) -> list[Delta]:
        """Draw each row's token; what the rows gained, in their order."""
        table = self._table(rows)
        seeds_R = np.array([s.seed for s in rows], np.uint64)
        uniform_R = uniforms(seeds_R, [s.num_generated for s in rows]).to(self.device)
        token_R = draw(self._penalized(rows, logits_RV), table, uniform_R)
        deltas = []
        for sequence, token, (logprob, top) in zip(rows, token_R.tolist(), report(logits_RV, token_R, table)):
            if logprob != logprob:
                raise SuiteError("the model's scores are not numbers (NaN): its weights are damaged, or it diverged")
            deltas.append(sequence.accept(token, logprob, top))
        ended = {id(s) for s, delta in zip(rows, deltas) if delta.finish_reason}
        for slot in reversed(range(len(self._active)) if ended else ()):
            if id(self._active[slot]) in ended:
                self._retire(slot)
        return deltas

    def _table(self, rows: list[Sequence]) -> SamplingTable:
        """The rows' sampling settings; kept as long as the rows stay the same."""
        if self._rules is None or self._rules[0] != rows:
            self._rules = rows, SamplingTable.of([s.sampling for s in rows], self.vocab_size, self.device)
        return self._rules[1]

    def _penalized(self, rows: Seq[Sequence], logits_RV: Tensor) -> Tensor:
        """The scores, tokens seen before lowered where a row asks for it."""
        chosen = [i for i, s in enumerate(rows) if s.sampling.repetition_penalty != 1]
        if not chosen:
            return logits_RV
        seen_RV = torch.stack([rows[i].seen(self.vocab_size, self.device) for i in chosen])
        penalty_R1 = torch.tensor([[rows[i].sampling.repetition_penalty] for i in chosen], device=self.device)
        lowered_RV = logits_RV.clone()
        lowered_RV[chosen] = penalize(logits_RV[chosen], seen_RV, penalty_R1)
        return lowered_RV

    def _retire(self, slot: int) -> None:
        """Free a slot: the last active one takes its place, and what it held stays behind for prompts to share."""
        last = len(self._active) - 1
        ended, moved = self._active[slot], self._active[last]
        with torch.inference_mode():
            self.cache.swap(slot, last, max(ended.num_cached, moved.num_cached))
        self._active[slot] = moved
        self._active.pop()
        self._retired[last] = ended

    @torch.inference_mode()
    def score(self, ids: Seq[int], *, top: int = 0) -> list[tuple[float, Alternatives]]:
        """Log-probability of tokens 1, 2, ... given those before, with the `top` likeliest; one fewer than `ids`."""
        if not 1 <= len(ids) <= self.max_length:
            raise InputError(f"{len(ids)} tokens cannot be scored; this model takes 1 to {self.max_length}")
        cache = self._new_cache(1)
        cache.reserve(len(ids))
        batch = Batch.of([Chunk(0, 0, len(ids))], [ids], positions=cache.positions, device=self.device)
        hidden_TE = self.runner.hidden(batch, cache)
        scored: list[tuple[float, Alternatives]] = []
        for start in range(0, len(ids) - 1, SCORED_TOKENS):
            next_T = torch.tensor(list(ids[start + 1 : start + 1 + SCORED_TOKENS]), device=self.device)
            logits_TV = self.runner.logits(hidden_TE[start : start + len(next_T)])
            normalizer_T = logits_TV.logsumexp(-1)
            own = (logits_TV.gather(1, next_T[:, None])[:, 0] - normalizer_T).tolist()
            scored += zip(own, alternatives(logits_TV, normalizer_T, [top] * len(own)))
        return scored


def check_fit(tokenizer: Tokenizer | None, vocab_size: int, *, max_slots: int, max_prefill_tokens: int) -> None:
    """Raise InputError for an impossible size, or a tokenizer that is not the model's."""
    for name, value in (("max_slots", max_slots), ("max_prefill_tokens", max_prefill_tokens)):
        if value < 1:
            raise InputError(f"{name}={value} is impossible; it is at least 1")
    if tokenizer is not None and tokenizer.vocab_size > vocab_size:
        raise InputError(
            f"the tokenizer has {tokenizer.vocab_size} ids, the model {vocab_size}: not made for each other"
        )
