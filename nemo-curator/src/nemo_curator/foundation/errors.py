"""Errors a person can act on, each with the exit code that its command ends with."""

EXIT_USER = 2
EXIT_RETRY = 75
EXIT_INTERRUPTED = 130


class SuiteError(Exception):
    """An expected failure: shown as one message without a traceback."""

    exit_code = 1


class UserError(SuiteError):
    """The caller can mend it: a wrong value, path, key or file. The message says which, and how."""

    exit_code = EXIT_USER


class ConfigError(UserError):
    """A setting is unknown, of the wrong type, or impossible."""


class InputError(UserError):
    """Data that was handed in cannot be used."""


class ArtifactError(UserError):
    """A folder is no artifact, or not one of the kind, version or content that was promised."""


class MissingBackend(UserError):
    """An optional library is not installed; the message names the extra that brings it."""


class RetryableError(SuiteError):
    """Nothing is wrong with the request: running it again, perhaps elsewhere, continues it."""

    exit_code = EXIT_RETRY


class Preempted(RetryableError):
    """Asked to stop (SIGTERM); the state is saved and the same command resumes."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came where nothing waits for a good moment: like Ctrl-C, nothing catches it but what cleans up."""


class DiskFull(RetryableError):
    """No room to write; nothing half-written was left behind under a final name."""
