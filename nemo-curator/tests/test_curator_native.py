"""The compiled library itself: built from the sources of now, for every level, and unshaken by bytes of any kind."""

import os
import shutil
import subprocess
import sys
from ctypes import ArgumentError
from pathlib import Path

import native_sweep
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_sweep import digest_of, hostile, sweep

from nemo_curator.foundation import compiled, sources
from nemo_curator.foundation.errors import InputError, MissingBackend
from nemo_curator.kernels import library
from nemo_curator.kernels.characters import classes, count_characters
from nemo_curator.kernels.units import minimizers
from nemo_curator.kernels.words import mixed

NATIVE = Path(__file__).resolve().parents[1] / "native"
SWEEP = Path(native_sweep.__file__)


def swept(**environment):
    """What a fresh process says of the hostile texts: the library's name and a digest of all answers."""
    done = subprocess.run(
        [sys.executable, str(SWEEP)], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(compiled.machine() not in sources.LEVELS, reason="this machine has one level only")
def test_every_level_gives_the_same_bits():
    best = swept()
    levels = sources.levels_of(compiled.machine())
    runnable = [level for level in levels if level <= best[0].removesuffix(".so").rpartition("-")[2]]
    found = [swept(**{compiled.LEVEL_VARIABLE: level}) for level in runnable]
    assert [name.removesuffix(".so").rpartition("-")[2] for name, _ in found] == runnable
    assert {digest for _, digest in found} == {best[1]}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler (cc) with sanitizers")
@pytest.mark.parametrize("texts", ["hostile", "empty"])
def test_no_kernel_leaves_its_buffers_or_relies_on_undefined_behaviour(texts, tmp_path):
    """Sanitizers of addresses and undefined behaviour end the process at the first fault; answers stay the same."""
    checked = tmp_path / "checked.so"
    flags = ["-std=c11", "-O1", "-g", "-fPIC", "-shared", "-ffp-contract=off"]
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    files = sorted(map(str, NATIVE.glob("*.c")))
    subprocess.run(["cc", *flags, *sanitizers, "-o", str(checked), *files, "-lm"], check=True)
    runtime = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    environment = {
        "LD_PRELOAD": runtime.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
        "SWEEP_LIBRARY": str(checked),
    }
    assert swept(SWEEP_TEXTS=texts, **environment)[1] == swept(SWEEP_TEXTS=texts)[1]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=120), max_size=8), st.binary(max_size=9), st.binary(max_size=9))
def test_answers_depend_on_the_texts_alone_not_on_what_lies_around_them(texts, before, behind):
    alone, amid = hostile(texts), hostile([before, *texts, behind])
    inner = (amid[0], amid[1][1:-1].copy())
    assert digest_of(sweep(*alone)) == digest_of(sweep(*inner))


def test_offsets_that_do_not_fit_the_data_are_refused():
    data = np.zeros(4, np.uint8)
    for offsets in ([0, 5], [0, 3, 2], [-1, 2]):
        with pytest.raises(InputError, match="do not ascend within its data"):
            count_characters(data, np.array(offsets), classes())


def test_arrays_of_another_type_or_with_gaps_are_refused():
    with pytest.raises(ArgumentError, match="wants a contiguous array of uint64, not int32"):
        mixed(np.zeros(3, np.int32))
    with pytest.raises(ArgumentError, match="wants a contiguous array of uint8"):
        count_characters(np.zeros(8, np.uint8)[::2], np.array([0, 4]), classes())


def test_a_minimizer_is_of_the_least_part_of_each_window():
    data = np.frombuffer(b"abracadabra abracadabra", np.uint8)
    least, places, starts = minimizers(data, np.array([0, len(data)]), 8, 3)
    grams, own, _ = minimizers(data, np.array([0, len(data)]), 3, 3)
    assert (own == np.arange(len(grams))).all()
    wanted = [i + int(np.argmin(grams[i : i + 6])) for i in range(len(data) - 7)]
    assert places.tolist() == wanted
    assert least.tolist() == grams[wanted].tolist()
    assert starts.tolist() == [0, len(wanted)]


def test_a_library_that_was_not_built_is_one_line_with_the_remedy():
    with pytest.raises(MissingBackend, match=r"were not built, or their sources have changed .* pip install -e"):
        compiled.opened(library.FOLDER, "0" * 12, "v2", "nemo-curator")


def test_the_digest_of_the_sources_follows_names_and_content(tmp_path):
    (tmp_path / "a.c").write_text("int a;")
    first = sources.digest(tmp_path)
    (tmp_path / "notes.md").write_text("not compiled")
    assert sources.digest(tmp_path) == first
    (tmp_path / "a.c").write_text("int b;")
    changed = sources.digest(tmp_path)
    (tmp_path / "a.c").rename(tmp_path / "b.c")
    assert len({first, changed, sources.digest(tmp_path)}) == 3


@pytest.mark.skipif(compiled.machine() not in sources.LEVELS, reason="reads Linux's list of what an x86-64 can do")
@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="reads Linux's list of what an x86-64 can do")
def test_the_level_is_what_the_system_says_of_the_processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    words = set(next(line for line in lines if line.startswith("flags")).split())
    v3 = {"avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}
    v4 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
    level = 4 if v3 | v4 <= words else 3 if v3 <= words else 2
    assert library.library()["cpu_level"]() == level
