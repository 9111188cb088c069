"""The modules of the standard library: which there are, and which are left out and why."""

import importlib.util
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from importlib.machinery import ModuleSpec

LEFT_OUT = {
    "antigravity": "opens a web browser when imported",
    "this": "prints when imported",
    "idlelib*": "needs a display",
    "turtle*": "needs a display",
    "tkinter*": "needs a display",
    "test*": "tests",
    "*.test*": "tests",
    "*_test*": "tests",
    "_test*": "tests",
    "lib2to3*": "deprecated",
    "*.__main__": "runs when imported",
    "ensurepip._bundled*": "other packages",
    "pydoc_data*": "rendered as topics",
    "posix": "rendered as os",
    "nt": "rendered as os",
    "__phello__*": "a frozen example",
    "__hello__": "prints when imported",
    "_aix_support": "another platform",
    "_osx_support": "another platform",
}


def why_left_out(name: str) -> str | None:
    """Why a module is not rendered; None where it is."""
    return next((why for pattern, why in LEFT_OUT.items() if fnmatch(name, pattern)), None)


def list_modules(only: Sequence[str] | None = None) -> tuple[list[str], dict[str, str]]:
    """Names of the modules to render, sorted, and of those left out with the reason."""
    names, left_out = [], {}
    for name in sorted(sys.stdlib_module_names if only is None else only):
        if only is None and name.startswith("_") and name != "__future__":
            continue
        reason = why_left_out(name)
        spec = None if reason else find(name)
        if reason or spec is None:
            left_out[name] = reason or "not part of Python on this platform"
            continue
        names.append(name)
        for inner in submodules(spec):
            reason = why_left_out(inner)
            if reason:
                left_out[inner] = reason
            elif "._" not in inner:
                names.append(inner)
    return sorted(names), left_out


def find(name: str) -> ModuleSpec | None:
    """Where a module would be imported from."""
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def submodules(spec: ModuleSpec) -> Iterator[str]:
    """Names of all modules inside a package, found without importing any."""
    for info in pkgutil.iter_modules(spec.submodule_search_locations or [], f"{spec.name}."):
        yield info.name
        if info.ispkg and not why_left_out(info.name):
            inner = info.module_finder.find_spec(info.name, None)
            if inner is not None:
                yield from submodules(inner)
