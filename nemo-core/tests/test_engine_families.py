"""The engine computes what the plain forward pass computes, for every switch of the model config."""

import runpy
from pathlib import Path

import pytest
import torch

from nemo_core.inference import Engine, Request, SamplingParams
from nemo_core.inference.completions import join
from nemo_core.model.decoder import Decoder

ARCHITECTURES = runpy.run_path(str(Path(__file__).with_name("test_architectures.py")))
VARIANTS = ARCHITECTURES["VARIANTS"]
ASKED = SamplingParams(max_tokens=14, temperature=0.0, logprobs=1, prompt_logprobs=0)


def model_of(name: str) -> Decoder:
    model: Decoder = ARCHITECTURES["redrawn"](ARCHITECTURES["variant"](name))
    return model.requires_grad_(False)


def prompts(vocab_size: int) -> list[list[int]]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randint(0, vocab_size, (n,), generator=draw).tolist() for n in (1, 9, 3, 22, 5)]


def answers(engine: Engine, asked: list[list[int]], sampling: SamplingParams) -> list:
    for index, prompt in enumerate(asked):
        engine.add(Request(id=index, prompt_ids=prompt, sampling=sampling))
    deltas = [[] for _ in asked]
    while engine.has_work:
        for delta in engine.step():
            deltas[delta.id].append(delta)
    return [join(prompt, got) for prompt, got in zip(asked, deltas)]


def plain_log_probs(model: Decoder, ids: list[int]) -> torch.Tensor:
    return model.logits(model(torch.tensor([ids]))).log_softmax(-1)[0]


def next_log_probs(model: Decoder, prompt: list[int], answer: list[int]) -> list[torch.Tensor]:
    """Log-probabilities before each answered token; longrope's depend on how long the sequence is by then."""
    if model.config.rope is None or model.config.rope.kind != "longrope":
        return list(plain_log_probs(model, prompt + answer)[len(prompt) - 1 : -1])
    return [plain_log_probs(model, prompt + answer[:place])[-1] for place in range(len(answer))]


@pytest.mark.parametrize("name", VARIANTS)
def test_answers_and_log_probs_are_those_of_the_plain_forward_pass(name):
    model = model_of(name)
    asked = prompts(model.config.vocab_size)
    engine = Engine(model, None, max_slots=3, max_prefill_tokens=7, block_size=4)
    for prompt, answer in zip(asked, answers(engine, asked, ASKED)):
        of_prompt = plain_log_probs(model, prompt)
        wanted = [of_prompt[i, token].item() for i, token in enumerate(prompt[1:])]
        assert answer.prompt_logprobs == pytest.approx(wanted, abs=2e-4)
        assert len(answer.token_ids) == ASKED.max_tokens
        before = next_log_probs(model, prompt, answer.token_ids)
        for logp_V, token, logprob, top in zip(before, answer.token_ids, answer.logprobs, answer.top_logprobs):
            assert logp_V[token] >= logp_V.max() - 1e-4
            assert logprob == pytest.approx(logp_V[token].item(), abs=2e-4)
            assert top[0][1] == pytest.approx(logp_V.max().item(), abs=2e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_cached_beginning_changes_nothing(name):
    model = model_of(name)
    asked = [[*prompts(model.config.vocab_size)[3], *tail] for tail in ([1], [2, 3], [1, 4], [])]
    sampling = SamplingParams(max_tokens=10, temperature=0.0, logprobs=0)
    engine = Engine(model, None, max_slots=2, block_size=4)
    shared = answers(engine, asked, sampling)
    assert engine.stats().shared_tokens > 40
    for prompt, answer in zip(asked, shared):
        (alone,) = answers(Engine(model, None, max_slots=1, block_size=4), [prompt], sampling)
        assert answer.token_ids == alone.token_ids
        assert answer.logprobs == pytest.approx(alone.logprobs, abs=1e-4)


def test_whole_scores_are_the_plain_forward_pass_too():
    model = model_of("sandwich")
    ids = prompts(model.config.vocab_size)[3]
    wanted = plain_log_probs(model, ids)
    scored = Engine(model, None, block_size=4).score(ids, top=2)
    assert [s for s, _ in scored] == pytest.approx([wanted[i, t].item() for i, t in enumerate(ids[1:])], abs=2e-4)
    assert scored[0][1][0][0] == int(wanted[0].argmax())


@pytest.mark.gpu
@pytest.mark.parametrize("name", VARIANTS)
def test_a_gpu_computes_what_the_cpu_computes(name):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    model = model_of(name)
    asked = prompts(model.config.vocab_size)
    here = answers(Engine(model, None, max_slots=3, max_prefill_tokens=7, block_size=4), asked, ASKED)
    there = answers(Engine(model.cuda(), None, max_slots=3, max_prefill_tokens=7, block_size=4), asked, ASKED)
    for cpu, gpu in zip(here, there):
        assert gpu.prompt_logprobs == pytest.approx(cpu.prompt_logprobs, abs=1e-3)
        assert gpu.logprobs[0] == pytest.approx(cpu.logprobs[0], abs=1e-3)
