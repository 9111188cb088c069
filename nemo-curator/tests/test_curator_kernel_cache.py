"""Compiled kernels are kept between runs, and never used once a source that went into them has changed."""

import subprocess
import sys

KERNEL = """
from numba import njit
from .called import figure

@njit(cache=True)
def answer(value):
    return figure(value)
"""
CALLED = "from numba import njit\n\n@njit(cache=True)\ndef figure(value):\n    return value + {added}\n"
ASK = """
import importlib, sys
from pathlib import Path
from nemo_curator.kernels import cache
sys.path.insert(0, sys.argv[1])
cache.KERNELS = Path(sys.argv[1]).resolve() / "kernelbox"
answer = importlib.import_module("kernelbox.calling").answer
print(answer(1), sum(answer.stats.cache_hits.values()))
"""


def ask(folder):
    """The kernel's answer, and how often it came from the cache."""
    done = subprocess.run([sys.executable, "-B", "-c", ASK, str(folder)], capture_output=True, text=True, check=True)
    return tuple(map(int, done.stdout.split()))


def test_a_kernel_is_compiled_anew_where_what_it_calls_has_changed(tmp_path):
    box = tmp_path / "kernelbox"
    box.mkdir()
    (box / "__init__.py").touch()
    (box / "calling.py").write_text(KERNEL)
    (box / "called.py").write_text(CALLED.format(added=1))
    assert ask(tmp_path) == (2, 0)
    assert ask(tmp_path) == (2, 1)
    (box / "called.py").write_text(CALLED.format(added=5))
    assert ask(tmp_path) == (6, 0)
    assert ask(tmp_path) == (6, 1)
