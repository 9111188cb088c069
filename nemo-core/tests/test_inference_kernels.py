"""The loops in C that generation runs on a CPU: torch's numbers, whatever the shape, threads or processor level."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.foundation import compiled, sources
from nemo_core.foundation.errors import ConfigError, MissingBackend
from nemo_core.inference import kernels
from nemo_core.inference.projection import round_to_int8
from nemo_core.model.mlp import ACTIVATIONS
from nemo_core.native.library import FOLDER

SWEEP = Path(__file__).parent / "workers/kernel_sweep.py"
NATIVE = Path(__file__).resolve().parents[1] / "native"
widths, rows = st.integers(1, 150), st.integers(1, 5)


def drawn(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=40)
@given(rows, widths, st.integers(0, 99))
def test_norm_and_rounding_are_torchs(count, width, seed):
    x, scale = drawn(count, width, seed=seed), drawn(width, seed=seed + 1)
    torch.testing.assert_close(kernels.rms_norm(x, scale, 1e-5), F.rms_norm(x, (width,), scale, 1e-5))
    centred, bias = x + 9.0, drawn(width, seed=seed + 2)
    torch.testing.assert_close(
        kernels.layer_norm(centred, scale, bias, 1e-5),
        F.layer_norm(centred, (width,), scale, bias, 1e-5),
        atol=2e-4,
        rtol=1e-4,
    )
    apart = torch.stack([x, x + 1.0], 1)[:, :1]
    assert torch.equal(kernels.rms_norm(apart, scale, 1e-5)[:, 0], kernels.rms_norm(x, scale, 1e-5))
    rounded, largest = kernels.round_to_int8(x)
    wanted, step = round_to_int8(x)
    assert (rounded - wanted).abs().max() <= 1  # a quotient half-way between two integers can fall either way
    torch.testing.assert_close(largest / 127, step)


@settings(deadline=None, max_examples=40)
@given(rows, widths, st.sampled_from(sorted(kernels.GATES)))
def test_gates_are_torchs_also_for_very_large_and_small_inputs(count, width, name):
    x = drawn(count, 2 * width, scale=5.0)
    x[0, 0] = -200.0 if width % 2 else 200.0
    gate, up = x.chunk(2, -1)
    found = kernels.gate(x, kernels.GATES[name])
    torch.testing.assert_close(found, ACTIVATIONS[name](gate) * up, rtol=1e-5, atol=1e-5)
    plain = kernels.activate(x, kernels.GATES[name])
    torch.testing.assert_close(plain, ACTIVATIONS[name](x), rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 20), widths, widths, st.booleans(), st.integers(0, 99))
def test_products_are_torchs_and_no_row_depends_on_the_others(count, width, outputs, has_bias, seed):
    x, weight = drawn(count, width, seed=seed), drawn(outputs, width, seed=seed + 1)
    bias = drawn(outputs, seed=seed + 2) if has_bias else None
    wide = torch.full((count, outputs + 2), 7.0)
    kernels.product(x, weight, bias, wide[:, 1:-1])
    torch.testing.assert_close(wide[:, 1:-1], F.linear(x, weight, bias), rtol=2e-5, atol=4e-4)
    assert wide[:, [0, -1]].unique().tolist() == [7.0]
    for row in range(count):
        alone = torch.empty(1, outputs)
        kernels.product(x[row : row + 1], weight, bias, alone)
        assert torch.equal(alone[0], wide[row, 1:-1])


@pytest.mark.parametrize(("count", "width"), [(1, 1024), (3, 1025), (40, 2500), (70, 6000)])
def test_products_are_cut_along_the_width_and_the_rows_without_a_change_of_bits(count, width):
    x, weight, y = drawn(count, width), drawn(9, width, seed=1), torch.empty(count, 9)
    kernels.product(x, weight, None, y)
    torch.testing.assert_close(y.double(), x.double() @ weight.double().mT, rtol=1e-4, atol=3e-3)
    alone = torch.empty(1, 9)
    kernels.product(x[-1:], weight, None, alone)
    assert torch.equal(alone[0], y[-1])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 20), widths, widths, st.booleans(), st.integers(0, 99))
def test_int8_sums_are_exact(count, width, outputs, has_bias, seed):
    x, step = drawn(count, width, seed=seed), drawn(outputs, seed=seed + 1).abs()
    weight = torch.randint(-127, 128, (outputs, width), dtype=torch.int8)
    bias = drawn(outputs, seed=seed + 2) if has_bias else None
    rounded, largest = kernels.round_to_int8(x)
    whole = rounded.long() @ weight.long().mT
    wanted = whole.float() * step * largest + (0.0 if bias is None else bias)
    found = kernels.product_int8(x, weight, (step, weight.sum(1, dtype=torch.int32) * 128), bias)
    assert torch.equal(found, wanted) or has_bias
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


@given(rows, widths, st.booleans(), st.integers(0, 99))
def test_the_likeliest_token_is_torchs_also_where_scores_are_equal_or_no_numbers(count, width, broken, seed):
    score = drawn(count, width, seed=seed).round()
    if broken:
        score[-1, seed % width] = torch.nan
    assert torch.equal(kernels.likeliest(score), score.argmax(-1))
    assert kernels.likeliest(torch.full((1, width), -torch.inf)).tolist() == [0]


@settings(deadline=None, max_examples=30)
@given(rows, st.integers(1, 3), st.integers(1, 40), st.integers(0, 99))
def test_storing_copies_every_head_of_a_token_to_its_place(tokens, heads, width, seed):
    wide = drawn(tokens, heads + 2, width, seed=seed)
    slots = torch.randperm(16, generator=torch.Generator().manual_seed(seed))[:tokens]
    cache = torch.zeros(heads, 16, width)
    kernels.store(wide[:, 1 : 1 + heads], slots, cache)
    assert torch.equal(cache[:, slots].transpose(0, 1), wide[:, 1 : 1 + heads])
    assert int(cache.count_nonzero()) == int(wide[:, 1 : 1 + heads].count_nonzero())


def test_what_a_kernel_would_misread_is_refused():
    wide = drawn(3, 8)
    with pytest.raises(TypeError, match=r"contiguous numbers of torch.float32, not torch.bfloat16"):
        kernels.rms_norm(wide.bfloat16(), drawn(8), 1e-5)
    with pytest.raises(
        TypeError, match=r"contiguous numbers of torch.float32, not torch.float32 with strides \(8, 1\)"
    ):
        kernels.likeliest(wide[:, :4])
    with pytest.raises(TypeError, match=r"contiguous numbers of torch.float32, not torch.float64"):
        kernels.product(drawn(1, 4), drawn(2, 4).double(), None, drawn(1, 2))
    with pytest.raises(TypeError, match=r"wants rows of torch.float32 to go to, not torch.float32 of strides \(1, 2\)"):
        kernels.product(drawn(2, 4), drawn(2, 4), None, drawn(2, 2).mT)
    with pytest.raises(TypeError, match="heads of 4 numbers do not lie side by side"):
        kernels.turn_(drawn(3, 4, 2).mT, drawn(3, 4), drawn(3, 4))


def swept(**environment: str) -> list[float]:
    """What a fresh process gets from every kernel."""
    words = [sys.executable, str(SWEEP)]
    done = subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [float(word) for word in done.stdout.split()]


def test_every_level_and_thread_count_gives_the_same_numbers():
    best = swept()
    assert len(best) > 10
    assert swept(SWEEP_THREADS="2") == best
    known = compiled.load(FOLDER, "nemo-core")._name.rpartition("-")[2].removesuffix(".so")
    for level in sources.levels_of(compiled.machine()):
        if level < known:
            assert swept(**{compiled.LEVEL_VARIABLE: level}) == pytest.approx(best, rel=1e-4, abs=1e-4)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler (cc) with sanitizers")
@pytest.mark.skipif(platform.system() != "Linux", reason="preloads the address sanitizer as Linux does")
def test_no_kernel_leaves_its_buffers_or_relies_on_undefined_behaviour(tmp_path):
    checked = tmp_path / "checked.so"
    flags = ["-std=c11", "-O1", "-g", "-fPIC", "-shared", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run(["cc", *flags, "-o", str(checked), *map(str, sorted(NATIVE.glob("*.c"))), "-lm"], check=True)
    runtime = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    environment = {"LD_PRELOAD": runtime.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}
    found = swept(SWEEP_LIBRARY=str(checked), **environment)
    assert found == pytest.approx(swept(), rel=1e-4, abs=1e-4)


def test_a_library_that_was_not_built_is_one_line_with_the_remedy(tmp_path):
    with pytest.raises(MissingBackend, match=r"were not built, .* pip install -e ./nemo-core"):
        compiled.load(tmp_path, "nemo-core")


def test_a_level_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setenv(compiled.LEVEL_VARIABLE, "avx2")
    with pytest.raises(ConfigError, match=f"NEMO_KERNELS=avx2: no such level of kernels for {compiled.machine()}"):
        compiled.load(FOLDER, "nemo-core")
