"""Make uv see the package indexes and wheel folders that pip is configured with.

uv reads neither pip's configuration files nor its variables. The environment built here is handed to uv only; nothing
is written to a file.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping

TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
SEPARATOR = {"UV_FIND_LINKS": ","}


def parse_pip_config(listing: str) -> dict[str, str]:
    """Settings by name from ``pip config list``; the environment beats ``install``, which beats ``global``."""
    ranked: dict[str, tuple[int, str]] = {}
    for line in listing.splitlines():
        key, equals, value = line.partition("=")
        section, _, name = key.rpartition(".")
        rank = {"global": 0, "install": 1, ":env:": 2}.get(section)
        if equals and rank is not None and rank >= ranked.get(name, (0, ""))[0]:
            ranked[name] = rank, str(ast.literal_eval(value))
    return {name: value for name, (_, value) in ranked.items()}


def uv_environment(pip: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to `environment` so that uv installs from where pip would; variables set already are kept."""
    added = {}
    for name, variable in TO_UV.items():
        if pip.get(name) and variable not in environment:
            values = pip[name].split()
            added[variable] = SEPARATOR.get(variable, " ").join(values)
    if "UV_INDEX" in added and "UV_INDEX_STRATEGY" not in environment:
        added["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip: the best version of all indexes
    return added


def pip_configuration() -> dict[str, str]:
    """The effective settings of pip; empty where this Python has no pip, so that only its variables count."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return parse_pip_config(done.stdout)
    names = {f"PIP_{name.upper().replace('-', '_')}": name for name in TO_UV}
    return {name: os.environ[variable] for variable, name in names.items() if variable in os.environ}
