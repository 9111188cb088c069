"""Print the packages that a change concerns, and their dependants, as a JSON list: what a run of checks has to cover.

``python tools/changed_packages.py [--base REVISION]`` compares the working tree with REVISION (default: the commit
where this branch left origin/main, else the previous commit). Anything that every package is built or tested with
concerns all of them; documentation concerns none.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable

from packages import ALL, ROOT, dependants

EVERYTHING = ("constraints.txt", "noxfile.py", "pyproject.toml", "dev.py", ".ci/", ".github/", "tools/")
TOGETHER = ("tests/", "examples/")


def concerned(paths: Iterable[str]) -> list[str]:
    """Packages whose tests a change of `paths` can turn, in the order of ALL."""
    found: set[str] = set()
    for path in paths:
        if path.startswith((*EVERYTHING, *TOGETHER)):
            return list(ALL)
        name = path.partition("/")[0].removeprefix("nemo-")
        if name in ALL:
            found.add(name)
    return [name for name in ALL if name in dependants(found)]


def git(*words: str) -> str | None:
    """The output of a git command; None where it fails, as outside a repository or for an unknown revision."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def base_revision() -> str | None:
    """Where this branch left origin/main; the previous commit where that is this very commit or unknown."""
    base = git("merge-base", "HEAD", "origin/main")
    return base if base and base != git("rev-parse", "HEAD") else git("rev-parse", "HEAD~1")


def changed_paths(base: str | None) -> list[str] | None:
    """Paths that differ from `base`, new files included; None where that cannot be told."""
    if base is None:
        return None
    tracked = git("diff", "--name-only", base, "--")
    new = git("ls-files", "--others", "--exclude-standard")
    return None if tracked is None or new is None else [*tracked.splitlines(), *new.splitlines()]


def main() -> int:
    """Print the list; all packages where git cannot tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", help="revision to compare with")
    base = parser.parse_args().base or base_revision()
    paths = changed_paths(base)
    print(json.dumps(list(ALL) if paths is None else concerned(paths)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
