"""The five packages, what each needs from this repository, and what a change to one reaches."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDS: dict[str, tuple[str, ...]] = {
    "core": (),
    "curator": (),
    "aligner": ("core",),
    "launcher": (),
    "deploy": ("core",),
}
ALL = tuple(NEEDS)


def folder(name: str) -> Path:
    """The folder of a package in this checkout."""
    return ROOT / f"nemo-{name}"


def with_needs(name: str) -> tuple[str, ...]:
    """A package and the packages of this repository that it needs, in order of installation."""
    return (*NEEDS[name], name)


def dependants(names: set[str]) -> set[str]:
    """`names` and every package that needs one of them."""
    return names | {name for name, needs in NEEDS.items() if names & set(needs)}
