"""Folders whose config.json is written as published models have it: logits, gradients and answers of transformers."""

import json

import pytest
import torch
import torch.nn.functional as F

from nemo_core.checkpoint.folder import load_model, save_model
from nemo_core.inference import Engine, Request, SamplingParams
from nemo_core.inference.completions import join

from .family_cases import redraw
from .published_cases import PUBLISHED, VOCABULARY

transformers = pytest.importorskip("transformers", reason="the reference implementation is not installed")


def read(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()


@pytest.fixture(params=PUBLISHED)
def folder(request, tmp_path):
    """The published entries beside weights of the shapes that transformers makes of them."""
    text = json.dumps(PUBLISHED[request.param])
    (tmp_path / "config.json").write_text(text)
    config = transformers.AutoConfig.from_pretrained(tmp_path, attn_implementation="eager")
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    redraw(model)
    model.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(text)
    return tmp_path


def ids_of(length):
    return torch.randint(3, VOCABULARY, (2, length), generator=torch.Generator().manual_seed(length))


def test_a_published_config_is_read_as_transformers_reads_it(folder, tmp_path_factory):
    theirs, ours = read(folder), load_model(folder)
    for length in (9, 20, 60):  # before, and beyond, where positions are stretched
        with torch.no_grad():
            assert (theirs(ids_of(length)).logits - ours.logits(ours(ids_of(length)))).abs().max() <= 5e-5
    check_gradients(theirs, ours)
    check_answer(theirs, ours)
    written = tmp_path_factory.mktemp("written")
    save_model(ours, written)
    with torch.no_grad():
        assert (read(written)(ids_of(60)).logits - theirs(ids_of(60)).logits).abs().max() <= 5e-5


def check_gradients(theirs, ours):
    ids = ids_of(20)
    loss = theirs(ids, labels=ids).loss
    loss.backward()
    mine = F.cross_entropy(ours.logits(ours(ids))[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    mine.backward()
    norms = [
        torch.stack([w.grad.double().norm() for w in model.parameters() if w.grad is not None]).norm()
        for model in (theirs, ours)
    ]
    assert mine.item() == pytest.approx(loss.item(), abs=1e-5)
    assert norms[0].item() == pytest.approx(norms[1].item(), rel=1e-5)


def check_answer(theirs, ours):
    prompt = ids_of(11)[0].tolist()
    greedy = transformers.GenerationConfig(do_sample=False, max_new_tokens=30, eos_token_id=None, pad_token_id=0)
    wanted = theirs.generate(torch.tensor([prompt]), generation_config=greedy)[0, len(prompt) :].tolist()
    engine = Engine(ours.requires_grad_(False), None, max_prefill_tokens=7, block_size=4)
    engine.add(Request(id=0, prompt_ids=prompt, sampling=SamplingParams(max_tokens=30, temperature=0.0)))
    deltas = []
    while engine.has_work:
        deltas += engine.step()
    assert join(prompt, deltas).token_ids[: len(wanted)] == wanted  # transformers may end by a token
