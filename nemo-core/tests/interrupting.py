"""Runs that are told to stop at a step of their own choice."""

import dataclasses
import signal

from nemo_core.data.batch import Batch


@dataclasses.dataclass
class Interrupting:
    """Data that sends this process a signal when a step asks for its batch."""

    data: object
    at: int
    signal: int = signal.SIGTERM

    def batch(self, step: int) -> Batch:
        if step == self.at:
            signal.raise_signal(self.signal)
        return self.data.batch(step)
