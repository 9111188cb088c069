"""Names of the compiled libraries: each holds a hash of the sources that it was built from.

The build reads this file as well, before anything is installed: it imports the standard library alone.
"""

import hashlib
from pathlib import Path

LEVELS = {"x86_64": ("v2", "v3", "v4")}
"""Levels of the instruction set that a library is built for, by machine; the same code, one file for each."""


def digest(folder: Path) -> str:
    """Twelve digits that stand for all C sources of a folder, names included."""
    content = hashlib.sha256()
    for path in sorted(each for each in folder.iterdir() if each.suffix in (".c", ".h", ".inc")):
        content.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return content.hexdigest()[:12]


def levels_of(machine: str) -> tuple[str, ...]:
    """The levels that a machine's library is built for; the lowest runs on all of them."""
    return LEVELS.get(machine, ("any",))


def name(sources: str, level: str) -> str:
    """The file of one level."""
    return f"kernels-{sources}-{level}.so"
