"""Decides what one step computes: a state machine without tensors, time or randomness. Events in, a plan out.

Running rows advance, oldest first: one token where one is due, else as much of the prompt as the budget allows. Then
waiting prompts start, oldest first, as long as rows, budget and blocks last. Where a running row finds no block, the
youngest row gives its blocks back and waits again at the head of the line; what it computed is computed anew.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from .blocks import BlockPool, Match, Node
from .prefix import common_prefix

MIN_SHARED = 8  # waiting a step for a neighbour's prefix pays from about this many tokens


@dataclass(eq=False)
class Row:
    """A request as the scheduler sees it: its tokens, of which the first `num_cached` have keys and values in `blocks`.

    Rows of different `namespace` never share; one with `shares` false computes all of its prompt itself. `reach` is how
    many tokens it may come to hold; the blocks `kept` for those are taken in order, where nobody else needed them.
    """

    tokens: list[int]
    namespace: Hashable = None
    shares: bool = True
    num_cached: int = 0
    blocks: list[int] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    reach: int = 0
    kept: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Compute tokens `start` to `stop`-1 of `row`."""

    row: Row
    start: int
    stop: int

    @property
    def is_last(self) -> bool:
        """Whether the row's next token is due after this."""
        return self.stop == len(self.row.tokens)


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy the first `count` positions of block `source` to block `target`."""

    source: int
    target: int
    count: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: copies first, then chunks, at most one for each row."""

    copies: list[Copy]
    chunks: list[Chunk]


@dataclass
class SchedulerCounts:
    """What happened so far, in tokens (of prompts that started) and preemptions."""

    prompt_tokens: int = 0
    shared_tokens: int = 0
    preemptions: int = 0


class Scheduler:
    """Holds the line and the running rows; at most `max_rows` run, and a step reads at most `budget` prompt tokens."""

    def __init__(self, pool: BlockPool, *, max_rows: int, budget: int) -> None:
        self.pool, self.max_rows, self.budget = pool, max_rows, budget
        self.running: list[Row] = []
        self.waiting: deque[Row] = deque()
        self.counts = SchedulerCounts()

    def add(self, row: Row) -> None:
        """Put a row in line. It must fit into the pool alone."""
        self.waiting.append(row)

    def remove(self, row: Row) -> None:
        """Forget a row, whose answer ended or is no longer wanted; what it computed stays to be shared."""
        if row in self.waiting:
            self.waiting.remove(row)
        if row in self.running:
            self.running.remove(row)
            self._let_go(row)

    def reread(self, row: Row) -> None:
        """Compute a running row anew, because what it holds no longer fits it."""
        self._let_go(row)

    def restart(self) -> None:
        """Put every running row back in line and share nothing computed so far: the weights changed."""
        while self.running:
            self._preempt()
        self.pool.forget_all()

    def plan(self) -> Plan:
        """The next step."""
        budget, chunks, promised = self.budget, list[Chunk](), list[Row]()
        for row in list(self.running):
            if row in self.running:  # not preempted for an older one
                chunk = self._advance(row, budget)
                if chunk is not None:
                    chunks.append(chunk)
                    budget -= cost(chunk)
                    if cost(chunk):
                        promised.append(row)
        copies = self._admit(chunks, promised, budget)
        return Plan(copies, chunks)

    def commit(self, chunks: Sequence[Chunk]) -> None:
        """The chunks are computed; blocks they filled can be shared from now on."""
        size = self.pool.block_size
        for chunk in chunks:
            row = chunk.row
            row.num_cached = chunk.stop
            while (len(row.nodes) + 1) * size <= row.num_cached:
                row.nodes.append(self._fill(row, (len(row.nodes) + 1) * size))
            if chunk.stop - chunk.start > 1:
                self._fill_rest(row)

    def _fill(self, row: Row, stop: int) -> Node:
        """Say what the row's first block without a node holds, up to token `stop`."""
        parent = row.nodes[-1] if row.nodes else self.pool.root(row.namespace)
        start = len(row.nodes) * self.pool.block_size
        return self.pool.fill(row.blocks[len(row.nodes)], parent, row.tokens[start:stop])

    def _fill_rest(self, row: Row) -> None:
        """Let the block that is partly filled be copied from."""
        if row.num_cached > len(row.nodes) * self.pool.block_size:
            self._fill(row, row.num_cached)

    def _advance(self, row: Row, budget: int) -> Chunk | None:
        """A running row's next tokens: one is always granted, more come out of the budget."""
        left = len(row.tokens) - row.num_cached
        stop = row.num_cached + (1 if left == 1 else min(left, budget))
        if stop == row.num_cached or not self._make_room(row, stop):
            return None
        return Chunk(row, row.num_cached, stop)

    def _make_room(self, row: Row, stop: int) -> bool:
        """Blocks for `stop` tokens, taken from younger rows where there are none; False where it was the youngest."""
        while len(row.blocks) * self.pool.block_size < stop:
            block = self._allocate(row)
            if block is not None:
                row.blocks.append(block)
            elif self._preempt() is row:
                return False
        return True

    def _allocate(self, row: Row) -> int | None:
        """The block that continues the row's run, or any."""
        if not row.kept:
            return self.pool.allocate()
        wanted = row.kept.pop(0)
        self.pool.forgo([wanted])
        return self.pool.allocate(wanted)

    def _preempt(self) -> Row:
        row = self.running.pop()
        self._let_go(row)
        self.waiting.appendleft(row)
        self.counts.preemptions += 1
        return row

    def _let_go(self, row: Row) -> None:
        """Release a row's blocks, the last first: the beginning is the likeliest to be wanted again."""
        self._fill_rest(row)
        for block in reversed(row.blocks):
            self.pool.release(block)
        self.pool.forgo(row.kept)
        row.blocks, row.nodes, row.kept, row.num_cached = [], [], [], 0

    def _admit(self, chunks: list[Chunk], promised: list[Row], budget: int) -> list[Copy]:
        """Start waiting rows; one whose prefix is just being computed for another waits for that."""
        copies, passed, donors = list[Copy](), deque[Row](), list[int]()
        while self.waiting and len(self.running) < self.max_rows and budget > 0:
            row = self.waiting.popleft()
            match = self._match(row)
            if not self._fits(row, match):
                match = Match(match.blocks, match.nodes, None, 0)
            shared = len(match.blocks) * self.pool.block_size + match.partial
            if comes_soon(row, promised, shared):
                passed.append(row)
                continue
            if not self._fits(row, match):
                self.waiting.appendleft(row)
                break
            copies += self._start(row, match)
            donors += [match.donor] if match.donor is not None else []
            chunk = self._advance(row, budget)
            if chunk is not None:
                chunks.append(chunk)
                budget -= cost(chunk)
                promised.append(row)
        self.waiting.extendleft(reversed(passed))
        for donor in donors:
            self.pool.release(donor)
        return copies

    def _match(self, row: Row) -> Match:
        limit = len(row.tokens) - 1 if row.shares else 0
        return self.pool.match(row.tokens, row.namespace, limit=limit)

    def _fits(self, row: Row, match: Match) -> bool:
        """Whether the whole row finds blocks, and every running row one more, without taking any away."""
        taken = [*match.blocks, *([match.donor] if match.donor is not None else [])]
        idle = sum(self.pool.references[block] == 0 for block in taken)
        needed = -(-(len(row.tokens) + 1) // self.pool.block_size) - len(match.blocks)
        return needed + len(self.running) <= self.pool.num_available - idle

    def _start(self, row: Row, match: Match) -> list[Copy]:
        """Take over what is cached; the copies that this needs. A donor stays acquired until the plan is made."""
        for block in match.blocks:
            self.pool.acquire(block)
        row.blocks, row.nodes = list(match.blocks), list(match.nodes)
        row.num_cached = len(match.blocks) * self.pool.block_size + match.partial
        self.running.append(row)
        self.counts.prompt_tokens += len(row.tokens)
        self.counts.shared_tokens += row.num_cached
        wanted = max(row.reach, len(row.tokens))
        row.kept = self.pool.keep_run(-(-wanted // self.pool.block_size) - len(row.blocks))
        if match.donor is None:
            return []
        self.pool.acquire(match.donor)
        own = self._allocate(row)
        if own is None:
            raise RuntimeError("no block for a row that fits")
        row.blocks.append(own)
        return [Copy(match.donor, own, match.partial)]


def cost(chunk: Chunk) -> int:
    """What a chunk takes out of the budget: nothing where it is the one token that is due."""
    return 0 if chunk.is_last and chunk.stop - chunk.start == 1 else chunk.stop - chunk.start


def comes_soon(row: Row, promised: Sequence[Row], shared: int) -> bool:
    """Whether another row is computing a longer prefix of this one than the `shared` tokens it finds cached."""
    if not row.shares:
        return False
    others = (p for p in promised if p.namespace == row.namespace)
    coming = max((common_prefix(row.tokens, p.tokens) for p in others), default=0)
    return min(coming, len(row.tokens) - 1) >= shared + MIN_SHARED
