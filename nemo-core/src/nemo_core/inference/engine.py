"""Continuous batching: requests join and leave between steps, and every step computes a token for all of them.

R rows (requests whose next token is due), V vocabulary, E hidden width, T tokens.
"""

import time
from collections.abc import Callable
from collections.abc import Sequence as Seq
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..foundation.errors import InputError, SuiteError
from ..model.decoder import Decoder
from ..peft.adapter import num_virtual
from ..tokenizer.load import Tokenizer
from .adapters import AdapterWeights, adapter_of_folder
from .batch import Batch
from .blocks import BlockPool
from .kv_cache import KVCache, bytes_per_token
from .penalties import adjust
from .projection import Deltas, Quantization
from .request import Alternatives, Delta, Request, RequestId
from .runner import Runner
from .sampling import SamplingTable, alternatives, draw, report, uniforms
from .scheduler import Chunk, Row, Scheduler
from .sequence import Score, Sequence
from .stats import EngineStats

PREFILL_TOKENS = 2048  # prompt tokens computed in one step at most, so that running answers never wait long
SCORED_TOKENS = 256  # rows of scores over the vocabulary held at a time
BLOCK_SIZE = 16
FREE_SHARE = 0.8  # of a GPU's free memory, for the cache where its size is not given


class Engine:
    """Generates for up to `max_slots` requests at once; more wait in line. Drive it from one thread at a time.

    `max_length` bounds prompt and answer together (default: the model's positions); an answer that would pass it ends
    with finish reason "length". `cache_tokens` bounds the key/value cache (default: `max_slots` full sequences); where
    it is used up, the youngest request waits and is computed anew. The weights are taken as they are now, an active
    adapter included: call `refresh` after training. `quantize` "int8" rounds the weights of linear layers. `tokenizer`
    None gives ids without text. With `stream_text` false, text comes with the last delta only, which is cheaper.
    Raises InputError where the tokenizer has ids that the model lacks, or the cache is too small for one sequence.
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
        cache_tokens: int | None = None,
        block_size: int = BLOCK_SIZE,
        quantize: Quantization = "none",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        config = model.config
        check_fit(
            tokenizer,
            config.vocab_size,
            {"max_slots": max_slots, "max_prefill_tokens": max_prefill_tokens, "block_size": block_size},
        )
        self.tokenizer, self.stream_text = tokenizer, stream_text
        self.max_slots, self.max_prefill_tokens = max_slots, max_prefill_tokens
        self.max_length = min(max_length or config.max_positions, config.max_positions)
        self.vocab_size = config.vocab_size
        self.num_virtual = num_virtual(model)
        self.model = model
        with torch.inference_mode():
            self.runner = Runner(model, quantize=quantize)
            self.device = self.runner.device
            blocks = self._num_blocks(cache_tokens, block_size)
            self.cache = KVCache(
                config, num_blocks=blocks, block_size=block_size, device=self.device, dtype=self.runner.dtype
            )
        self.pool = BlockPool(blocks, block_size)
        self.scheduler = Scheduler(self.pool, max_rows=max_slots, budget=max_prefill_tokens)
        self._adapters: dict[str, Deltas] = {}
        self._adapter_weights: dict[str, AdapterWeights] = {}
        self._rules: tuple[list[Sequence], SamplingTable] | None = None
        self._clock, self._busy_s, self._num_generated = clock, 0.0, 0

    def _num_blocks(self, cache_tokens: int | None, block_size: int) -> int:
        longest = -(-self.max_length // block_size)
        if cache_tokens is None:
            blocks = longest * self.max_slots
            if self.device.type == "cuda":
                free, _ = torch.cuda.mem_get_info(self.device)
                block = block_size * bytes_per_token(self.model.config, self.runner.dtype)
                blocks = max(longest, min(blocks, int(free * FREE_SHARE) // block))
            return blocks
        if cache_tokens // block_size < longest:
            raise InputError(
                f"cache_tokens={cache_tokens} is {cache_tokens // block_size} blocks of {block_size} tokens, but one "
                f"sequence of max_length={self.max_length} needs {longest}; give at least {longest * block_size}"
            )
        return cache_tokens // block_size

    @property
    def has_work(self) -> bool:
        """Whether a request is running or waiting."""
        return bool(self.scheduler.running or self.scheduler.waiting)

    @property
    def num_running(self) -> int:
        """Requests that are being computed."""
        return len(self.scheduler.running)

    @property
    def num_waiting(self) -> int:
        """Requests that wait in line."""
        return len(self.scheduler.waiting)

    @property
    def adapters(self) -> list[str]:
        """Names that a request's `adapter` can be."""
        return sorted(self._adapters)

    def stats(self) -> EngineStats:
        """How busy the engine is and was."""
        counts, pool = self.scheduler.counts, self.pool
        return EngineStats(
            running=self.num_running,
            waiting=self.num_waiting,
            cache_blocks=pool.num_blocks,
            cache_blocks_used=pool.num_blocks - pool.num_available,
            cache_blocks_idle=pool.num_idle,
            block_size=pool.block_size,
            prompt_tokens=counts.prompt_tokens,
            shared_tokens=counts.shared_tokens,
            generated_tokens=self._num_generated,
            preemptions=counts.preemptions,
            busy_s=self._busy_s,
        )

    def add(self, request: Request) -> None:
        """Put a request in line; `max_tokens` beyond the room left is cut to it.

        Raises InputError for an empty prompt, one that leaves no room for an answer, a token that the model does not
        have, an adapter that is not loaded, or stop strings where there is no tokenizer to find them.
        """
        length = len(request.prompt_ids)
        if length == 0:
            raise InputError("the prompt is empty; give at least one token")
        if length >= self.max_length:
            raise InputError(
                f"the prompt has {length} tokens; with room for an answer at most {self.max_length - 1} fit this model"
            )
        self._check_ids(request)
        if request.sampling.stop and self.tokenizer is None:
            raise InputError("stop strings need a tokenizer; this engine was made without one")
        if request.adapter is not None and request.adapter not in self._adapters:
            raise InputError(f"no adapter {request.adapter!r}; loaded are {', '.join(self.adapters) or 'none'}")
        self.scheduler.add(
            Sequence(
                request,
                room=self.max_length - length,
                tokenizer=self.tokenizer,
                stream_text=self.stream_text,
                namespace=self._namespace(request.adapter, length),
            )
        )

    def _check_ids(self, request: Request) -> None:
        """Raise InputError for a token that the model lacks; prompts may begin with an adapter's virtual ones."""
        known, virtual = self.vocab_size, self.num_virtual
        sampling = request.sampling
        named = {
            "token id": (request.prompt_ids, virtual),
            "logit_bias: token id": (sampling.logit_bias, 0),
            "stop_ids: token id": (sampling.stop_ids, 0),
        }
        for name, (ids, more) in named.items():
            wrong = next((i for i in ids if not 0 <= i < known + more), None)
            if wrong is not None:
                raise InputError(f"{name} {wrong} is outside the vocabulary of {known} tokens")
        if request.sampling.prompt_logprobs is not None and max(request.prompt_ids) >= known:
            raise InputError("prompt_logprobs: virtual tokens of an adapter have no log-probability; leave it out")

    def _namespace(self, adapter: str | None, length: int) -> tuple[str | None, bool]:
        """Rows share what they computed with the same adapter and (longrope) the same angles."""
        long_from = self.runner.long_from
        return adapter, long_from is not None and length > long_from

    def cancel(self, request_id: RequestId) -> None:
        """Forget a request at once; no further delta names it. Unknown ids are ignored: it may just have ended."""
        for row in [*self.scheduler.waiting, *self.scheduler.running]:
            if isinstance(row, Sequence) and row.request.id == request_id:
                self.scheduler.remove(row)

    @torch.inference_mode()
    def add_adapter(self, name: str, adapter: AdapterWeights | str | Path) -> None:
        """Let requests choose a LoRA, DoRA or IA3 adapter: a peft folder, or weights by layer (`adapter_of_model`).

        Raises InputError for a name in use, a layer that the model does not have or that several tokens do not pass
        together (an expert), or a width that does not fit; ArtifactError for a folder of another method.
        """
        if name in self._adapters:
            raise InputError(f"adapter {name!r} is loaded already; remove it first or take another name")
        weights = adapter_of_folder(adapter, self.model) if isinstance(adapter, str | Path) else adapter
        self._adapters[name] = self.runner.deltas(name, weights)
        self._adapter_weights[name] = weights

    def remove_adapter(self, name: str) -> None:
        """Forget an adapter. Raises InputError where it is not loaded or a request still uses it."""
        if name not in self._adapters:
            raise InputError(f"no adapter {name!r}; loaded are {', '.join(self.adapters) or 'none'}")
        rows = [*self.scheduler.waiting, *self.scheduler.running]
        if any(isinstance(row, Sequence) and row.request.adapter == name for row in rows):
            raise InputError(f"adapter {name!r} is in use; wait for its requests or cancel them")
        del self._adapters[name], self._adapter_weights[name]
        for is_long in (False, True):
            self.pool.drop((name, is_long))

    @torch.inference_mode()
    def refresh(self) -> None:
        """Take the model's weights as they are now. Running requests go on, what they hold computed anew."""
        self.runner = Runner(self.model, quantize=self.runner.quantize)
        self._adapters = {name: self.runner.deltas(name, own) for name, own in self._adapter_weights.items()}
        self.scheduler.restart()
        self.cache.clear()

    @torch.inference_mode()
    def step(self) -> list[Delta]:
        """Advance every running request, start what fits, and say what each gained."""
        began = self._clock()
        plan = self.scheduler.plan()
        self.cache.copy(plan.copies)
        deltas = self._compute(plan.chunks) if plan.chunks else []
        self._num_generated += len(deltas)
        self._busy_s += self._clock() - began
        return deltas

    def _compute(self, chunks: list[Chunk]) -> list[Delta]:
        """Run the chunks, and draw the tokens that are due."""
        chunks = sorted(chunks, key=lambda c: c.stop - c.start > 1)
        batch = Batch.of(chunks, block_size=self.cache.block_size, device=self.device, long_from=self.runner.long_from)
        self.runner.routing.groups = self._groups(chunks, batch)
        hidden_NE = self.runner.hidden(batch, self.cache)
        self.scheduler.commit(chunks)
        self._score_prompts(chunks, batch, hidden_NE)
        due = [(sequence_of(c.row), span.stop - 1) for c, span in zip(chunks, batch.tokens) if c.is_last]
        if not due:
            return []
        ends = [end for _, end in due]
        due_RE = hidden_NE if len(ends) == len(hidden_NE) else hidden_NE[ends]
        return self._extend([row for row, _ in due], self.runner.logits(due_RE))

    def _groups(self, chunks: Seq[Chunk], batch: Batch) -> list[tuple[Deltas, Tensor | None]]:
        """Which tokens take which adapter."""
        names = [sequence_of(chunk.row).request.adapter for chunk in chunks]
        groups: list[tuple[Deltas, Tensor | None]] = []
        for name in dict.fromkeys(n for n in names if n is not None):
            rows = [i for n, span in zip(names, batch.tokens) if n == name for i in range(span.start, span.stop)]
            everyone = len(rows) == len(batch.ids_N)
            groups.append((self._adapters[name], None if everyone else torch.tensor(rows, device=self.device)))
        return groups

    def _score_prompts(self, chunks: Seq[Chunk], batch: Batch, hidden_NE: Tensor) -> None:
        """Log-probabilities of prompt tokens, for the rows that ask."""
        for chunk, span in zip(chunks, batch.tokens):
            row = sequence_of(chunk.row)
            wanted = range(max(row.unscored.start, chunk.start), min(row.unscored.stop, chunk.stop))
            if wanted:
                first = span.start + wanted.start - chunk.start
                hidden_TE = hidden_NE[first : first + len(wanted)]
                next_ids = row.tokens[wanted.start + 1 : wanted.stop + 1]
                row.prompt_scores += self._scores(hidden_TE, next_ids, top=row.sampling.prompt_logprobs or 0)

    def _extend(self, rows: list[Sequence], logits_RV: Tensor) -> list[Delta]:
        """Draw each row's token; what the rows gained, in their order."""
        table = self._table(rows)
        token_R = draw(adjust(logits_RV, rows), table, lambda: self._uniforms(rows))
        deltas = []
        for row, token, (logprob, top) in zip(rows, token_R.tolist(), report(logits_RV, token_R, table)):
            if logprob != logprob:
                raise SuiteError("the model's scores are not numbers (NaN): its weights are damaged, or it diverged")
            deltas.append(row.accept(token, logprob, top))
            if deltas[-1].finish_reason:
                self.scheduler.remove(row)
            elif self._namespace(row.request.adapter, len(row.tokens)) != row.namespace:
                row.namespace = self._namespace(row.request.adapter, len(row.tokens))
                self.scheduler.reread(row)
        return deltas

    def _uniforms(self, rows: list[Sequence]) -> Tensor:
        """Each row's next random number."""
        seeds_R = np.array([s.seed for s in rows], np.uint64)
        return uniforms(seeds_R, [s.num_generated for s in rows]).to(self.device)

    def _table(self, rows: list[Sequence]) -> SamplingTable:
        """The rows' sampling settings; kept as long as the rows stay the same."""
        if self._rules is None or self._rules[0] != rows:
            self._rules = rows, SamplingTable.of([s.sampling for s in rows], self.vocab_size, self.device)
        return self._rules[1]

    @torch.inference_mode()
    def score(self, ids: Seq[int], *, top: int = 0) -> list[Score]:
        """Log-probability of tokens 1, 2, ... given those before, with the `top` likeliest; one fewer than `ids`."""
        if not 1 <= len(ids) <= self.max_length:
            raise InputError(f"{len(ids)} tokens cannot be scored; this model takes 1 to {self.max_length}")
        blocks = [0] * -(-len(ids) // self.cache.block_size)
        chunk = Chunk(Row(list(ids), blocks=blocks), 0, len(ids))
        batch = Batch.of(
            [chunk], block_size=self.cache.block_size, device=self.device, long_from=self.runner.long_from
        ).without_cache()
        self.runner.routing.groups = []
        return self._scores(self.runner.hidden(batch, None), ids[1:], top=top)

    def _scores(self, hidden_TE: Tensor, next_ids: Seq[int], *, top: int) -> list[Score]:
        """Log-probability of the token after each hidden state, with the `top` likeliest."""
        scored: list[tuple[float, Alternatives]] = []
        for start in range(0, len(next_ids), SCORED_TOKENS):
            next_T = torch.tensor(list(next_ids[start : start + SCORED_TOKENS]), device=self.device)
            logits_TV = self.runner.logits(hidden_TE[start : start + len(next_T)])
            normalizer_T = logits_TV.logsumexp(-1)
            own = (logits_TV.gather(1, next_T[:, None])[:, 0] - normalizer_T).tolist()
            scored += zip(own, alternatives(logits_TV, normalizer_T, [top] * len(own)))
        return scored


def sequence_of(row: Row) -> Sequence:
    """The engine puts nothing but sequences in line."""
    assert isinstance(row, Sequence)
    return row


def check_fit(tokenizer: Tokenizer | None, vocab_size: int, sizes: dict[str, int]) -> None:
    """Raise InputError for an impossible size, or a tokenizer that is not the model's."""
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"{name}={value} is impossible; it is at least 1")
    if tokenizer is not None and tokenizer.vocab_size > vocab_size:
        raise InputError(
            f"the tokenizer has {tokenizer.vocab_size} ids, the model {vocab_size}: not made for each other"
        )
