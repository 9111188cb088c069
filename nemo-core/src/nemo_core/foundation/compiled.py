"""Libraries of C that are built with a package: found, checked and loaded.

They lie beside the Python files that use them, one for each level of the processor's instruction set; in a checkout
they have to be built from the sources of now.
"""

import ctypes
import os
import platform
from pathlib import Path

from . import sources
from .errors import ConfigError, MissingBackend

LEVEL_VARIABLE = "NEMO_KERNELS"
"""Names the level to load (v2, v3 or v4), whatever the machine can do: to compare them, or to search for a fault."""


def load(folder: Path, distribution: str) -> ctypes.CDLL:
    """The library in `folder` of the highest level that this machine can run. Raises MissingBackend without one."""
    known = current(folder)
    levels = sources.levels_of(machine())
    lowest = opened(folder, known, levels[0], distribution)
    named = os.environ.get(LEVEL_VARIABLE)
    if named and named not in levels:
        raise ConfigError(f"{LEVEL_VARIABLE}={named}: no such level of kernels for {machine()}; {' or '.join(levels)}")
    wanted = named or f"v{lowest['cpu_level']()}"
    return opened(folder, known, wanted, distribution) if wanted in levels[1:] else lowest


def machine() -> str:
    """The name of this machine's instruction set, as the build has it."""
    return {"AMD64": "x86_64", "x86-64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())


def current(folder: Path) -> str:
    """The sources that the libraries of a folder have to be built from: in a checkout, those of now."""
    native = next((parent.parent / "native" for parent in folder.parents if parent.name == "src"), None)
    if native is not None and native.is_dir():
        return sources.digest(native)
    found = {path.name.split("-")[1] for path in folder.glob("kernels-*.so")}
    return max(found, default="none")


def opened(folder: Path, known: str, level: str, distribution: str) -> ctypes.CDLL:
    """The library of one level."""
    path = folder / sources.name(known, level)
    if not path.is_file():
        raise MissingBackend(
            f"{path.name} is not in {folder}: the kernels were not built, or their sources have changed since; "
            f"run: pip install -e ./{distribution} (in a checkout), or pip install --force-reinstall {distribution}"
        )
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise MissingBackend(
            f"{path}: cannot be loaded on {platform.platform()} ({error}); "
            f"build it here: pip install --no-binary {distribution} {distribution}"
        ) from error
