"""A step that was noted once and is run again computes what the layers compute when they are called, bit for bit."""

import runpy
from pathlib import Path

import pytest
import torch

from nemo_core.inference import Engine, Request, SamplingParams
from nemo_core.inference.plan import CannotNoteError, Noting, Scratch

ARCHITECTURES = runpy.run_path(str(Path(__file__).with_name("test_architectures.py")))
WITH_TORCH = [name for name in ARCHITECTURES["VARIANTS"] if "expert" in name or "latent" in name]
NOTED = [name for name in ARCHITECTURES["VARIANTS"] if name not in WITH_TORCH]


def engine_of(name: str, *, quantize: str = "none", noting: bool = True) -> Engine:
    model = ARCHITECTURES["redrawn"](ARCHITECTURES["variant"](name)).requires_grad_(False)
    engine = Engine(model, None, max_slots=3, max_prefill_tokens=7, block_size=4, quantize=quantize)
    engine.runner.plans.is_possible = noting
    return engine


def answers(engine: Engine) -> list[list[tuple[list[int], list[float] | None]]]:
    """Five requests of different lengths for three rows: rows come, grow past their blocks, and go."""
    draw = torch.Generator().manual_seed(0)
    for index, (length, tokens) in enumerate([(1, 9), (9, 14), (3, 4), (22, 12), (5, 20)]):
        prompt = torch.randint(0, engine.vocab_size, (length,), generator=draw).tolist()
        sampling = SamplingParams(max_tokens=tokens, temperature=0.0, logprobs=0)
        engine.add(Request(id=index, prompt_ids=prompt, sampling=sampling))
    found = [[] for _ in range(5)]
    while engine.has_work:
        for delta in engine.step():
            found[delta.id].append((delta.token_ids, delta.logprobs))
    return found


@pytest.mark.parametrize("quantize", ["none", "int8"])
@pytest.mark.parametrize("name", NOTED)
def test_noted_steps_change_no_bit(name, quantize):
    engine = engine_of(name, quantize=quantize)
    assert answers(engine) == answers(engine_of(name, quantize=quantize, noting=False))
    assert engine.runner.plans.is_possible
    assert set(engine.runner.plans.noted) == {1, 2, 3}


@pytest.mark.parametrize("name", WITH_TORCH)
def test_layers_that_compute_with_torch_are_called_as_before(name):
    engine = engine_of(name)
    assert answers(engine) == answers(engine_of(name, noting=False))
    assert not engine.runner.plans.is_possible
    assert not engine.runner.plans.noted


def test_new_weights_are_noted_anew():
    engine = engine_of("post norms")
    before = answers(engine)
    with torch.no_grad():
        for weight in engine.model.parameters():
            weight.mul_(1.5)
    engine.refresh()
    fresh = Engine(engine.model, None, max_slots=3, max_prefill_tokens=7, block_size=4)
    after = answers(engine)
    assert after == answers(fresh)
    assert after != before


def test_what_torch_computes_cannot_be_noted_and_is_named():
    left, right = torch.ones(2, 4), torch.ones(4)
    with torch.inference_mode(), Noting(Scratch()):
        total = left + left
        with pytest.raises(CannotNoteError, match=r"aten\.add\.Tensor"):
            left + right
        with pytest.raises(CannotNoteError, match=r"aten\.mul\.Tensor"):
            left * left
        view = left.view(4, 2).transpose(0, 1)
    assert total.tolist() == [[2.0] * 4] * 2
    assert view.data_ptr() == left.data_ptr()


def test_scratch_memory_is_given_out_again_once_nothing_refers_to_it():
    scratch = Scratch()
    first, second = (scratch.empty((3, 5), torch.float32) for _ in range(2))
    place = first.data_ptr()
    assert place % 64 == 0
    assert second.data_ptr() != place
    part = first[1:]
    del first
    third = scratch.empty((3, 5), torch.float32)
    assert third.data_ptr() not in (place, second.data_ptr())
    del part
    assert scratch.empty((2, 5), torch.float32).data_ptr() == place
