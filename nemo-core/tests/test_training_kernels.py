"""The loops in C that training runs on a CPU: the numbers of fp64, no worse than torch's own, whatever the shape."""

import copy
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

from nemo_core.config import ModelConfig
from nemo_core.data.batch import Batch
from nemo_core.foundation import compiled, sources
from nemo_core.model.causal import attend, first_keys
from nemo_core.model.decoder import Decoder
from nemo_core.model.masks import block_causal, causal_window
from nemo_core.model.mlp import ACTIVATIONS
from nemo_core.model.norm import RMSNorm
from nemo_core.native import training
from nemo_core.native.library import FOLDER, GATES
from nemo_core.train.objective import losses_and_slopes_, next_token_loss

SWEEP = Path(__file__).parent / "workers/training_sweep.py"
NATIVE = Path(__file__).resolve().parents[1] / "native"
widths, rows = st.integers(1, 150), st.integers(1, 140)


def drawn(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def far(found, exact):
    """The largest distance, over the largest number or 1."""
    return float((found.double() - exact).abs().max() / exact.abs().max().clamp_min(1.0))


def assert_as_exact_as_torch(ours, torchs, exact, floor=2e-6):
    for mine, theirs, truth in zip(ours, torchs, exact, strict=True):
        assert far(mine, truth) <= 2 * far(theirs, truth) + floor


def both_ways(function, inputs, pull):
    """What `function` gives of inputs, and their gradients."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    y = function(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, pull.to(y.dtype))]


@settings(deadline=None, max_examples=25)
@given(rows, widths, st.integers(0, 99))
def test_the_norm_is_as_exact_as_torchs_both_ways(count, width, seed):
    inputs, pull = [drawn(count, width, seed=seed), drawn(width, seed=seed + 1)], drawn(count, width, seed=seed + 2)

    def plain(x, scale):
        return F.rms_norm(x, (width,), scale, 1e-5)

    y, inverse = training.norm(*inputs, 1e-5)
    ours = [y, *training.norm_back(*inputs, inverse, pull)]
    exact = both_ways(plain, [x.double() for x in inputs], pull)
    assert_as_exact_as_torch(ours, both_ways(plain, inputs, pull), exact)


@settings(deadline=None, max_examples=25)
@given(rows, widths, st.sampled_from(sorted(GATES)))
def test_gates_are_as_exact_as_torchs_both_ways_also_for_very_large_and_small_inputs(count, width, name):
    gate, up, pull = (drawn(count, width, seed=seed) for seed in range(3))
    gate[0, 0] = -200.0 if width % 2 else 200.0

    def plain(gate, up):
        return ACTIVATIONS[name](gate) * up

    kind, wide = GATES[name], training.gate(gate, up, GATES[name])
    ours = [*training.gate_back_(gate, up, pull.clone(), kind)]
    assert torch.equal(ours.pop(), wide)
    exact = both_ways(plain, [gate.double(), up.double()], pull)
    assert_as_exact_as_torch([wide, *ours], both_ways(plain, [gate, up], pull), exact)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 3), st.integers(1, 40), st.integers(0, 5), st.booleans())
def test_heads_are_turned_by_their_places_angles_and_back(batch, length, heads, half, rest, shared):
    x = drawn(batch, length, heads, 2 * half + rest)
    angle = drawn(*(() if shared else (batch,)), length, half)
    cos, sin = torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)
    y = training.turned(x, cos, sin, sign=1.0)
    first, second, kept = x.split([half, half, rest], -1)
    c, s = angle.cos().unsqueeze(-2), angle.sin().unsqueeze(-2)
    wanted = torch.cat([first * c - second * s, second * c + first * s, kept], -1)
    torch.testing.assert_close(y, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(training.turned(y, cos, sin, sign=-1.0), x, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 20), widths, st.integers(0, 99))
def test_losses_and_slopes_are_as_exact_as_torchs(count, width, seed):
    score, targets = drawn(count, width, seed=seed, scale=9.0), torch.arange(count) % width

    def plain(score):
        return F.cross_entropy(score, targets, reduction="none")

    exact, torchs = (both_ways(plain, [x], torch.ones(count)) for x in (score.double(), score))
    ours = losses_and_slopes_(score.clone(), targets, None)
    assert_as_exact_as_torch(ours, torchs, exact)


lengths = st.integers(1, 75)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 2), lengths, st.sampled_from([(1, 1), (2, 1), (2, 3)]), widths, widths, st.integers(1, 40))
def test_attention_is_as_exact_as_torchs_both_ways_also_within_documents(batch, length, heads, width, wide, document):
    kv_heads, groups = heads
    sizes = [(kv_heads * groups, width), (kv_heads, width), (kv_heads, wide)]
    inputs = [drawn(batch, count, length, size, seed=seed, scale=1.0) for seed, (count, size) in enumerate(sizes)]
    pull = drawn(batch, kv_heads * groups, length, wide, scale=1.0)
    allowed = block_causal((torch.arange(length) // document).expand(batch, -1))

    def plain(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, scale=0.4, enable_gqa=True)

    def ours(q, k, v):
        return attend(q, k, v, first_keys(q, k, v, allowed), scale=0.4)

    exact = both_ways(plain, [x.double() for x in inputs], pull)  # 0 for q and k where a query sees itself alone
    assert_as_exact_as_torch(both_ways(ours, inputs, pull), both_ways(plain, inputs, pull), exact, floor=2e-5)


def test_only_masks_of_keys_up_to_the_query_itself_go_to_the_kernel():
    q = drawn(2, 3, 8, 4)
    documents = block_causal(torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2], [0] * 8]))
    assert first_keys(q, q, q, documents).tolist() == [[0, 0, 0, 3, 3, 5, 5, 5], [0] * 8]
    assert first_keys(q, q, q, causal_window(8, 3, q.device)).tolist() == [[0, 0, 0, 1, 2, 3, 4, 5]] * 2
    assert first_keys(q, q, q, None).tolist() == [[0] * 8] * 2
    torn, ahead, nothing = documents.clone(), documents.clone(), documents.clone()
    torn[1, 0, 5, 2], ahead[1, 0, 5, 6], nothing[0, 0, 3] = False, True, False
    for mask in (torn, ahead, nothing, documents.float(), documents[..., :4], documents.expand(2, 3, 8, 8)):
        assert first_keys(q, q, q, mask) is None
    assert first_keys(q.double(), q.double(), q.double(), None) is None
    with torch.no_grad():
        assert first_keys(q, q, q, None) is None


def test_scores_that_are_no_numbers_or_too_large_are_seen_in_the_loss():
    score = drawn(3, 20)
    score[0, 3], score[1, 4] = torch.nan, torch.inf
    loss, _ = losses_and_slopes_(score, torch.tensor([5, 6, 7]), None)
    assert loss.isfinite().tolist() == [False, False, True]


def test_a_target_beyond_the_vocabulary_is_refused():
    for target in (20, -1):
        with pytest.raises(IndexError, match=rf"targets from .*{target}.* scores of 20 tokens"):
            losses_and_slopes_(drawn(2, 20), torch.tensor([3, target]), None)
    assert losses_and_slopes_(torch.empty(0, 20), torch.empty(0, dtype=torch.long), None)[0].shape == (0,)


def tiny_model() -> Decoder:
    config = ModelConfig(
        vocab_size=97, hidden_size=48, num_layers=2, num_heads=3, num_kv_heads=3, head_dim=16, ffn_size=72,
        max_positions=64, tied_embeddings=False,
    )  # fmt: skip
    return Decoder(config, seed=0)


def gradients(model: Decoder, batch: Batch) -> list[torch.Tensor]:
    model.zero_grad()
    loss = next_token_loss(model, batch)
    loss.backward()
    return [loss.detach(), *(weight.grad.clone() for weight in model.parameters())]


@pytest.mark.parametrize("packed", [False, True])
def test_a_step_has_the_loss_and_gradients_of_fp64(packed):
    tokens = torch.randint(0, 97, (3, 41), generator=torch.Generator().manual_seed(1))
    segments = (torch.arange(40) // 13).expand(3, -1) if packed else None
    places = (torch.arange(40) % 13).expand(3, -1) if packed else None
    batch = Batch(tokens[:, :-1], tokens[:, 1:], positions_BT=places, segments_BT=segments)
    model = tiny_model()
    exact = gradients(copy.deepcopy(model).double(), batch)
    for mine, truth in zip(gradients(model, batch), exact, strict=True):
        torch.testing.assert_close(mine.double(), truth.double(), rtol=2e-5, atol=2e-5)


def test_threads_do_not_change_a_bit_of_what_the_kernels_give():
    assert swept() == swept(SWEEP_THREADS="2")


def test_transforms_of_functions_and_other_types_stay_with_torch():
    norm, x = RMSNorm(24, eps=1e-5), drawn(3, 24)
    by_transform = torch.func.grad(lambda x: norm(x).square().sum())(x)
    leaf = x.clone().requires_grad_()
    norm(leaf).square().sum().backward()
    torch.testing.assert_close(by_transform, leaf.grad, rtol=1e-5, atol=1e-5)
    assert norm(x.bfloat16()).shape == x.shape


def test_what_a_kernel_would_misread_is_refused():
    with pytest.raises(TypeError, match=r"contiguous numbers of torch.float32, not torch.float64"):
        training.gate(drawn(2, 4).double(), drawn(2, 4), 0)
    with pytest.raises(TypeError, match=r"with strides \(1, 2\)"):
        training.norm(drawn(4, 2).T, drawn(4), 1e-5)


def swept(**environment: str) -> list[str]:
    """What a fresh process gets from every kernel."""
    words = [sys.executable, str(SWEEP)]
    done = subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_every_level_of_the_processor_gives_the_same_numbers():
    best = [float(word) for word in swept()]
    known = compiled.load(FOLDER, "nemo-core")._name.rpartition("-")[2].removesuffix(".so")
    for level in sources.levels_of(compiled.machine()):
        if level < known:
            lower = [float(word) for word in swept(**{compiled.LEVEL_VARIABLE: level})]
            assert lower == pytest.approx(best, rel=1e-4, abs=1e-4)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler (cc) with sanitizers")
@pytest.mark.skipif(platform.system() != "Linux", reason="preloads the address sanitizer as Linux does")
def test_no_kernel_leaves_its_buffers_or_relies_on_undefined_behaviour(tmp_path):
    checked = tmp_path / "checked.so"
    flags = ["-std=c11", "-O1", "-g", "-fPIC", "-shared", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run(["cc", *flags, "-o", str(checked), *map(str, sorted(NATIVE.glob("*.c"))), "-lm"], check=True)
    runtime = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    environment = {"LD_PRELOAD": runtime.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}
    found = [float(word) for word in swept(SWEEP_LIBRARY=str(checked), **environment)]
    assert found == pytest.approx([float(word) for word in swept()], rel=1e-4, abs=1e-4)
