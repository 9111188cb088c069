"""Optional libraries, imported when they are asked for and missed in one clear line."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

from .errors import ConfigError, MissingBackend
from .settings import did_you_mean


@dataclass(frozen=True, kw_only=True)
class Backend:
    """Where a backend lives, and the extra that brings its libraries (None: part of the plain install)."""

    module: str
    extra: str | None = None


def load_backend(kind: str, name: str, table: Mapping[str, Backend], *, package: str) -> ModuleType:
    """The module of backend `name`.

    Raises ConfigError for an unknown name and MissingBackend, naming the extra to install, for a missing library.
    """
    if name not in table:
        raise ConfigError(f"unknown {kind} {name!r}; one of {', '.join(table)}{did_you_mean(name, table)}")
    backend = table[name]
    try:
        return importlib.import_module(backend.module)
    except ModuleNotFoundError as error:
        if backend.extra is None or (error.name or "").split(".")[0] == backend.module.split(".")[0]:
            raise
        raise MissingBackend(
            f"{kind} {name!r} needs the library {error.name!r}: pip install '{package}[{backend.extra}]'"
        ) from error
