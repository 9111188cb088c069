"""Every request is computed in order within rows, blocks and budget, whatever arrives, is cancelled or runs short."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.inference.blocks import BlockPool
from nemo_core.inference.prefix import common_prefix
from nemo_core.inference.scheduler import Row, Scheduler, cost

TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=40)
SIZE, LONGEST = 4, 48


@dataclass
class Job:
    """A request: when it comes, its prompt, how many tokens it answers, and when it is cancelled (never: None)."""

    arrival: int
    prompt: list[int]
    answer: int
    cancelled: int | None
    namespace: str
    shares: bool
    row: Row = field(init=False)

    def __post_init__(self) -> None:
        self.row = Row(list(self.prompt), namespace=self.namespace, shares=self.shares)

    @property
    def is_done(self) -> bool:
        return len(self.row.tokens) >= len(self.prompt) + self.answer


JOBS = st.builds(
    Job,
    st.integers(0, 8),
    TOKENS,
    st.integers(1, 6),
    st.none() | st.integers(0, 15),
    st.sampled_from("ab"),
    st.booleans() | st.just(True),
)


class Memory:
    """What a key/value cache would hold: for each block, the namespace and the tokens up to each of its positions."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, tuple[int, ...]]] = {}

    def copy(self, source: int, target: int, count: int) -> None:
        for place in range(count):
            self.cells[target, place] = self.cells[source, place]

    def check(self, row: Row, stop: int) -> None:
        """Every position before `stop` was computed from exactly this row's tokens."""
        for position in range(stop):
            held = self.cells[row.blocks[position // SIZE], position % SIZE]
            assert held == (row.namespace, tuple(row.tokens[: position + 1]))

    def write(self, row: Row, start: int, stop: int) -> None:
        for position in range(start, stop):
            cell = row.blocks[position // SIZE], position % SIZE
            self.cells[cell] = (row.namespace, tuple(row.tokens[: position + 1]))


def check_pool(pool: BlockPool, running: list[Row]) -> None:
    """Each block is referred to as often as running rows hold it, and is free, idle or held, never two of these."""
    held = [block for row in running for block in row.blocks]
    assert pool.references == [held.count(block) for block in range(pool.num_blocks)]
    assert pool.num_available == pool.num_blocks - len(set(held))
    assert all(len(set(row.blocks)) == len(row.blocks) for row in running)


@settings(deadline=None, max_examples=150)
@given(
    jobs=st.lists(JOBS, min_size=1, max_size=14),
    max_rows=st.integers(1, 5),
    budget=st.integers(1, 30),
    spare=st.integers(0, 20),
)
def test_all_requests_end_and_no_step_breaks_its_limits(jobs, max_rows, budget, spare):
    pool = BlockPool(LONGEST // SIZE + spare, SIZE)
    scheduler, memory = Scheduler(pool, max_rows=max_rows, budget=budget), Memory()
    cancelled, step = set[int](), 0
    while step <= 15 or scheduler.running or scheduler.waiting:
        for number, job in enumerate(jobs):
            if job.arrival == step:
                scheduler.add(job.row)
            if job.cancelled == step >= job.arrival and not job.is_done:
                scheduler.remove(job.row)
                cancelled.add(number)
        plan = scheduler.plan()
        assert len(scheduler.running) <= max_rows
        assert plan.chunks or not scheduler.waiting
        for copy in plan.copies:
            memory.copy(copy.source, copy.target, copy.count)
        assert len({id(chunk.row) for chunk in plan.chunks}) == len(plan.chunks)
        assert sum(map(cost, plan.chunks)) <= budget
        written = [b for c in plan.chunks for b in c.row.blocks[c.start // SIZE : -(-c.stop // SIZE)]]
        assert len(set(written)) == len(written)
        for chunk in plan.chunks:
            assert chunk.start == chunk.row.num_cached < chunk.stop <= len(chunk.row.tokens)
            memory.check(chunk.row, chunk.start)
        for chunk in plan.chunks:
            memory.write(chunk.row, chunk.start, chunk.stop)
        scheduler.commit(plan.chunks)
        check_pool(pool, scheduler.running)
        for job in jobs:
            if any(chunk.row is job.row and chunk.is_last for chunk in plan.chunks):
                job.row.tokens.append(len(job.row.tokens) % 3)
                if job.is_done:
                    scheduler.remove(job.row)
        step += 1
        assert step < 3000
    assert all(job.is_done or number in cancelled for number, job in enumerate(jobs))
    check_pool(pool, [])
    assert pool.num_available == pool.num_blocks


def scheduler_of(*, blocks: int = 100, max_rows: int = 4, budget: int = 100) -> Scheduler:
    return Scheduler(BlockPool(blocks, SIZE), max_rows=max_rows, budget=budget)


def advance(scheduler: Scheduler) -> list[tuple[Row, int, int]]:
    """One step, each due row answering 1; which rows computed what."""
    plan = scheduler.plan()
    scheduler.commit(plan.chunks)
    for chunk in plan.chunks:
        if chunk.is_last:
            chunk.row.tokens.append(1)
    return [(chunk.row, chunk.start, chunk.stop) for chunk in plan.chunks]


def test_running_answers_go_on_while_a_long_prompt_is_read():
    scheduler = scheduler_of(budget=20)
    short, long = Row([1] * 9), Row([2] * 100)
    scheduler.add(short)
    assert advance(scheduler) == [(short, 0, 9)]
    scheduler.add(long)
    assert advance(scheduler) == [(short, 9, 10), (long, 0, 20)]
    late = Row([3] * 50)
    scheduler.add(late)
    assert advance(scheduler) == [(short, 10, 11), (long, 20, 40)]


def test_the_first_of_equal_prompts_computes_and_the_others_wait_a_step_to_share():
    scheduler, prompt = scheduler_of(), list(range(30))
    first, second, other = Row(list(prompt)), Row(list(prompt)), Row([9, 8, 7])
    for row in (first, second, other):
        scheduler.add(row)
    assert advance(scheduler) == [(first, 0, 30), (other, 0, 3)]
    assert (second, 29, 30) in advance(scheduler)
    assert second.blocks[:7] == first.blocks[:7]
    assert second.blocks[7] != first.blocks[7]


def test_the_youngest_gives_way_when_blocks_run_out_and_is_first_to_come_back():
    scheduler = scheduler_of(blocks=12)
    old, young, next_in_line = Row([1] * 20), Row([2] * 19), Row([0] * 40)
    scheduler.add(old)
    scheduler.add(young)
    scheduler.add(next_in_line)
    while young in scheduler.running or not scheduler.counts.preemptions:
        advance(scheduler)
    assert scheduler.running == [old]
    assert list(scheduler.waiting) == [young, next_in_line]
    scheduler.remove(old)
    advance(scheduler)
    assert young in scheduler.running


def test_what_other_adapters_computed_is_not_shared():
    scheduler = scheduler_of()
    rows = [Row([5] * 20, namespace=name) for name in ("a", "b", "a")]
    for row in rows:
        scheduler.add(row)
    advance(scheduler)
    advance(scheduler)
    assert scheduler.counts.shared_tokens == 19
    assert not set(rows[0].blocks) & set(rows[1].blocks)


def test_nothing_computed_before_a_restart_is_shared():
    scheduler = scheduler_of()
    scheduler.add(Row([5] * 20))
    advance(scheduler)
    scheduler.restart()
    (again,) = advance(scheduler)
    assert again[1:] == (0, 21)


def test_the_least_recently_used_prefix_gives_way():
    pool = BlockPool(3, SIZE)
    for token in (1, 2, 3):
        block = pool.allocate()
        pool.fill(block, pool.root(None), [token] * SIZE)
        pool.release(block)
    pool.acquire(pool.match([1] * 4, None, limit=4).blocks[0])
    pool.release(pool.match([1] * 4, None, limit=4).blocks[0])
    pool.allocate()
    assert [len(pool.match([t] * 4, None, limit=4).blocks) for t in (1, 2, 3)] == [1, 0, 1]


def test_rows_that_grow_side_by_side_each_lie_in_one_stretch():
    scheduler = scheduler_of()
    rows = [Row([number] * 9, reach=30) for number in range(4)]
    for row in rows:
        scheduler.add(row)
    while len(rows[0].tokens) < 30:
        advance(scheduler)
    assert [row.blocks for row in rows] == [list(range(start, start + 8)) for start in (0, 8, 16, 24)]


def test_a_run_is_found_where_content_is_oldest_and_keeping_it_withholds_nothing():
    pool = BlockPool(6, SIZE)
    for block in (pool.allocate() for _ in range(6)):
        pool.fill(block, pool.root(None), [block] * SIZE)
    for block in (5, 3, 4, 0, 1, 2):
        pool.release(block)
    assert pool.keep_run(7) == []
    assert pool.keep_run(3) == [3, 4, 5]
    assert pool.keep_run(4) == []
    assert pool.num_available == 6
    assert [pool.allocate(wanted) for wanted in (4, 4, None, None, None, None, None)] == [4, 5, 3, 0, 1, 2, None]
    pool.forgo([3, 4, 5])
    for block in (4, 5, 3):
        pool.release(block)
    assert pool.keep_run(3) == [3, 4, 5]


def test_what_was_used_lately_is_not_given_up_for_a_run():
    pool = BlockPool(6, SIZE)
    for block in (pool.allocate() for _ in range(6)):
        pool.fill(block, pool.root(None), [block] * SIZE)
    for block in (0, 2, 4, 1, 3, 5):
        pool.release(block)
    assert pool.keep_run(2) == []


@settings(deadline=None)
@given(TOKENS, TOKENS, TOKENS)
def test_common_prefix_counts_equal_beginnings(beginning, left, right):
    expected = next((i for i, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
    assert common_prefix([*beginning, *left], [*beginning, *right]) == len(beginning) + expected
