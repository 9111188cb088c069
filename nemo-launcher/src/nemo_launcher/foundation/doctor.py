"""``nemo-x doctor``: is this installation whole, and what can this machine do?"""

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

Finding = tuple[str, str, str]  # state (ok, missing, optional), what, and more of it


def report(package: str, own_checks: Callable[[], Iterable[Finding]]) -> int:
    """Print one line per finding, `own_checks`' last; 0 when everything a plain install needs is there, 1 otherwise."""
    lines, problems = [], 0
    distribution = metadata.distribution(package)
    lines.append(("ok", package, f"{distribution.version} at {location(package)}"))
    lines.append(("ok", "python", f"{platform.python_version()} ({sys.executable})"))
    lines.append(("ok", "machine", machine()))
    for text in distribution.requires or []:
        if re.search(r"extra\s*==\s*['\"]test['\"]", text):
            continue
        state, name, detail = check_requirement(text)
        problems += state == "missing"
        lines.append((state, name, detail))
    for state, name, detail in own_checks():
        problems += state == "missing"
        lines.append((state, name, detail))
    width = max(len(name) for _, name, _ in lines)
    for state, name, detail in lines:
        print(f"{state:<8} {name:<{width}}  {detail}")
    print(f"{package}: {'ready' if not problems else f'{problems} problem(s); install what is missing'}")
    return 0 if not problems else 1


def location(package: str) -> str:
    """Folder that the package is imported from, found without importing it."""
    from importlib.util import find_spec

    spec = find_spec(package.replace("-", "_"))
    return str(Path(spec.origin).parent) if spec and spec.origin else "unknown"


def machine() -> str:
    """Cores, memory and free disk of this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    disk = shutil.disk_usage(".").free / 2**30
    return f"{cores} cores, {memory_gib():.0f} GiB memory, {disk:.0f} GiB free here, {platform.system()}"


def memory_gib() -> float:
    """Physical memory in GiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def check_requirement(text: str) -> tuple[str, str, str]:
    """State of one requirement: ok, missing, or optional (not installed, part of an extra)."""
    name = re.split(r"[ ;<>=!~\[(]", text, maxsplit=1)[0]
    extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", text)
    try:
        return "ok", name, metadata.version(name)
    except metadata.PackageNotFoundError:
        if extra:
            return "optional", name, f"not installed; in the extra [{extra.group(1)}]"
        return "missing", name, f"not installed; pip install '{text.split(';')[0].strip()}'"
