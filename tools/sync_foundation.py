"""Copy nemo-core's foundation into the packages that depend on no other; ``--check`` only compares.

Curator and launcher must install alone, so each carries its own copy of the small shared layer, and curator of what
compiles kernels. The original is nemo-core's; run ``python tools/sync_foundation.py`` after changing it.
"""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ORIGINAL = ROOT / "nemo-core/src/nemo_core/foundation"
BUILD_FILES = ("hatch_build.py", "native/cpu.c", "native/export.h")
COPIES = [ROOT / f"nemo-{name}/src/nemo_{name}/foundation" for name in ("curator", "launcher")]


def content(folder: Path) -> dict[str, bytes]:
    """Source files of a foundation folder by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.py"))}


def differences() -> list[str]:
    """One line per file that is missing, superfluous or different in a copy."""
    wanted = content(ORIGINAL)
    found = []
    for copy in COPIES:
        have = content(copy)
        found += [
            f"{copy / name}: differs"
            for name in sorted(wanted.keys() | have.keys())
            if wanted.get(name) != have.get(name)
        ]
    for name in BUILD_FILES:
        original, copied = ROOT / "nemo-core" / name, ROOT / "nemo-curator" / name
        if not copied.is_file() or copied.read_bytes() != original.read_bytes():
            found.append(f"{copied}: differs")
    return found


def main() -> int:
    """Compare or copy; 1 when `--check` finds a difference."""
    if "--check" in sys.argv:
        print("\n".join(differences()) or "foundation copies are equal")
        return 1 if differences() else 0
    for copy in COPIES:
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir(parents=True)
        for name, data in content(ORIGINAL).items():
            (copy / name).write_bytes(data)
    for name in BUILD_FILES:
        shutil.copyfile(ROOT / "nemo-core" / name, ROOT / "nemo-curator" / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
