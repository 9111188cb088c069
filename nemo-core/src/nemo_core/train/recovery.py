"""Stopping when asked, going on in spite of a bad step, and ending when another process of the run is lost."""

import contextlib
import math
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType

from torch.distributed import DistError

from ..foundation.errors import Preempted, RetryableError, UserError


class Diverged(UserError):
    """Loss or gradients stayed infinite or not a number."""


class PeerLost(RetryableError):
    """Another process of the run died or stopped answering."""


# gloo reports a lost peer as a plain RuntimeError; these are the ways it words one.
LOST = ("connection closed by peer", "connection reset by peer", "timed out", "broken pipe", "connection refused")


def tells_of_lost_peer(error: BaseException) -> bool:
    """Whether an error of a collective operation means that another process is gone."""
    text = str(error).lower()
    return isinstance(error, DistError) or (isinstance(error, RuntimeError) and any(words in text for words in LOST))


@contextlib.contextmanager
def explain_lost_peers(timeout_s: float) -> Iterator[None]:
    """Turn what torch says when a process of the run is gone into one message that says what to do."""
    try:
        yield
    except Exception as error:
        if not tells_of_lost_peer(error):
            raise
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PeerLost(
            "another process of this run died or did not answer within "
            f"parallel.timeout_s={timeout_s:g} s ({first_line}); its own message is above or in its log. "
            "The same command continues from the last saved state"
        ) from error


class StopRequest:
    """Inside the block, SIGTERM and Ctrl-C only ask: the loop saves at the next step boundary, then calls `obey`.

    A second Ctrl-C stops at once. Outside the main thread, where Python allows no handlers, nothing is caught.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._former: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    @property
    def asked(self) -> bool:
        """Whether someone asked to stop."""
        return self.signal is not None

    def obey(self, *, saved_at: int | None, reached: int | None = None) -> None:
        """End the run now that its state is saved: KeyboardInterrupt for Ctrl-C, Preempted for SIGTERM.

        `reached` is the last step where that could not be saved.
        """
        kind = KeyboardInterrupt if self.signal == signal.SIGINT else Preempted
        if reached is not None and saved_at != reached:
            last = "no state is saved" if saved_at is None else f"the state after step {saved_at} is the last saved"
            raise kind(f"asked to stop after step {reached}; {last}, the same command continues from there")
        if kind is KeyboardInterrupt:
            raise KeyboardInterrupt
        raise Preempted(f"asked to stop; the state after step {saved_at} is saved, the same command continues there")


class BadSteps:
    """Counts steps that were skipped for their loss or gradient; too many in a row end the run."""

    def __init__(self, *, max_in_a_row: int, total: int = 0, in_a_row: int = 0) -> None:
        self.max_in_a_row, self.total, self.in_a_row = max_in_a_row, total, in_a_row

    def is_bad(self, step: int, *, loss: float, grad_norm: float, spike: bool = False) -> bool:
        """Whether the step must be skipped. Raises Diverged where the limit is reached."""
        if math.isfinite(loss) and math.isfinite(grad_norm) and not spike:
            self.in_a_row = 0
            return False
        self.total += 1
        self.in_a_row += 1
        if self.in_a_row >= self.max_in_a_row:
            raise Diverged(
                f"step {step}: loss {loss}, gradient norm {grad_norm}, and so for {self.in_a_row} steps in a row "
                "(max_bad_steps); lower learning_rate, raise schedule.warmup_share, or look at the data"
            )
        return True
