"""The next batch, made while a device computes the present one."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from .batch import Batch

Make = Callable[[int], Batch]


class Ahead:
    """Gives what `make(step)` gives; what step + 1 learns from is made in a thread meanwhile.

    `make` is a pure function of the step, so nothing depends on what was made ahead. An error of it is raised when the
    batch is asked for.
    """

    def __init__(self, make: Make) -> None:
        self.make = make
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="next-batch")
        self.coming: tuple[int, Future[Batch]] | None = None

    def batch(self, step: int) -> Batch:
        """What `step` (from 0) learns from."""
        coming, self.coming = self.coming, None
        made = coming[1].result() if coming is not None and coming[0] == step else self.make(step)
        self.coming = step + 1, self.pool.submit(self.make, step + 1)
        return made

    def close(self) -> None:
        """Drop what was made ahead."""
        self.pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def made_ahead(make: Make, *, device: str) -> Iterator[Make]:
    """What gives the batch of a step: ahead of time where a GPU computes; when asked on a CPU, which is busy itself."""
    if device == "cpu":
        yield make
        return
    ahead = Ahead(make)
    try:
        yield ahead.batch
    finally:
        ahead.close()
