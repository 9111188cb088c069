"""What a person is told while kernels are compiled for the first time."""

import os
import subprocess
import sys

from nemo_curator.kernels.notice import NOTICE

CALL = "import numpy as np; from nemo_curator.kernels.words import mix; mix(np.uint64(1)); mix(np.uint64(2))"


def told(cache, **environment):
    process = subprocess.run(
        [sys.executable, "-c", CALL],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stderr.count(NOTICE)


def test_the_first_compilation_is_announced_once_and_a_cached_kernel_not_at_all(tmp_path):
    assert [told(tmp_path / "cache"), told(tmp_path / "cache")] == [1, 0]


def test_of_several_workers_only_the_first_announces_it(tmp_path):
    assert [told(tmp_path / name, NEMO_CURATOR_WORKER=name) for name in ("0", "1")] == [1, 0]
