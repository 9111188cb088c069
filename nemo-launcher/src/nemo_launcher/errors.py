"""Failures of a whole run."""

from .foundation.errors import EXIT_INTERRUPTED, SuiteError


class RunFailed(SuiteError):
    """Some stages failed; `exit_code` is 2 or 75 where every failed stage ended so, else 1."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Interrupted(SuiteError):
    """The run was asked to stop; `resume` continues it."""

    exit_code = EXIT_INTERRUPTED
