"""Compiled kernels that are compiled anew once any kernel's source has changed.

Numba keeps a compiled function as long as the file that holds it is unchanged, although the code of what it calls is
compiled into it. Here the sources of all kernels together are what a kept kernel has to agree with.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache

KERNELS = Path(__file__).resolve().parent


@cache
def sources_hash(folder: Path) -> str:
    """SHA-256 of every module of `folder`, names included."""
    content = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        content.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()


class KernelLocator:
    """Where numba keeps a kernel: at its usual place, stamped with the sources of all kernels of its folder."""

    def __init__(self, usual: Any, folder: Path) -> None:
        self._usual, self._folder = usual, folder

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> "KernelLocator | None":
        """The locator of a kernel; None for a function of anyone else."""
        folder = Path(py_file).resolve().parent
        if folder != KERNELS:
            return None
        found = (usual.from_function(py_func, py_file) for usual in USUAL)
        locator = next((each for each in found if each is not None), None)
        return None if locator is None else cls(locator, folder)

    def get_source_stamp(self) -> tuple[Any, str]:
        """What a kept kernel was compiled from."""
        return self._usual.get_source_stamp(), sources_hash(self._folder)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._usual, name)


USUAL: tuple[Any, ...] = tuple(FunctionCache._impl_class._locator_classes)


def install() -> None:
    """Let numba ask KernelLocator first."""
    FunctionCache._impl_class._locator_classes = [KernelLocator, *USUAL]
