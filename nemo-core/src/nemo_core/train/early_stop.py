"""Ending a run whose held-out loss no longer falls (Prechelt 1998)."""

from dataclasses import dataclass

from .care import EarlyStopSettings


@dataclass
class Patience:
    """The best held-out loss so far and for how many measurements it has stood; saved with the state."""

    best: float | None = None
    stood: int = 0

    def is_over(self, loss: float, settings: EarlyStopSettings) -> bool:
        """Take a measurement in; whether it is time to stop."""
        if self.best is None or loss < self.best - settings.min_improvement:
            self.best, self.stood = loss, 0
        else:
            self.stood += 1
        return 0 < settings.patience <= self.stood
