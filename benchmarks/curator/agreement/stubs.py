"""Import a peer's source without the libraries that its plain-Python parts do not use: those become empty modules."""

import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Nothing:
    """Takes any call or attribute; a base class, a decorator or an annotation of what is not there."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, *words: Any, **__: Any) -> Any:
        """What was decorated, or nothing."""
        return words[0] if words and callable(words[0]) else self

    def __or__(self, _: Any) -> "Nothing":
        return self

    __ror__ = __truediv__ = __rtruediv__ = __or__

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __contains__(self, _: Any) -> bool:
        return False

    def __setitem__(self, _: Any, __: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()

    def __class_getitem__(cls, _: Any) -> type:
        return cls

    def __mro_entries__(self, _: Any) -> tuple[type, ...]:
        return ()


class Empty(ModuleType):
    """A module that has every name."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()


class Finder:
    """Finds the named packages, and whatever is below them, as empty modules."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """A specification of an empty module; None for others."""
        below = (name[: -len(rest) - 1] if rest else name for rest in tails(name))
        return ModuleSpec(name, self, is_package=True) if any(each in self._names for each in below) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """An empty module."""
        return Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


def tails(name: str) -> list[str]:
    """What follows each dot of a name, and nothing."""
    words = name.split(".")
    return [".".join(words[i:]) for i in range(1, len(words) + 1)]


def leave_out(*names: str) -> None:
    """Have the packages of these names imported as empty modules."""
    sys.meta_path.insert(0, Finder(names))


def package(name: str, folder: str) -> None:
    """Make `name` a package of this folder whose ``__init__`` is not run."""
    module = ModuleType(name)
    module.__path__ = [folder]
    sys.modules[name] = module
