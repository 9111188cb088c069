"""The distribution that a token is drawn from is transformers', rules and cuts in the order that its generate has."""

import itertools
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch

from nemo_core.checkpoint.folder import load_model
from nemo_core.inference import Request, SamplingParams, generate
from nemo_core.inference.penalties import adjust
from nemo_core.inference.sampling import SamplingTable, draw, kind_of, soften, uniforms, without_tail
from nemo_core.inference.sequence import Sequence

CPU = torch.device("cpu")
VOCAB, END = 50, 7
PROMPT, ANSWER = [3, 4, 3, 9], [5, 5, 3]
CUTS = {
    "temperature": (1e-3, 0.7, 1.0, 3.0),
    "top_k": (0, 1, 5, VOCAB, 9999),
    "top_p": (0.0, 1e-9, 0.4, 0.95, 1.0),
    "min_p": (0.0, 0.2, 1.0),
}
RULES: list[dict[str, object]] = [
    {},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.6, "min_tokens": 5},
    {"logit_bias": {2: 4.0, 5: -100.0, 3: 2.5}, "repetition_penalty": 1.3, "min_tokens": 9},
]


@pytest.fixture(scope="module")
def reference():
    """A tiny model of transformers, for its `generate`."""
    transformers = pytest.importorskip("transformers", reason="the reference implementation is not installed")
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=64,
            initializer_range=0.6,
            bos_token_id=1,
            eos_token_id=END,
        )
    ).eval()


def theirs(model, logits_1V, rules):
    """Probabilities after the processors that transformers' generate would apply, in its order."""
    import transformers

    options = dict(rules)
    bias = options.pop("logit_bias", None)
    config = transformers.GenerationConfig(
        do_sample=True,
        min_new_tokens=options.pop("min_tokens", None),
        sequence_bias=[[[token], value] for token, value in bias.items()] if bias else None,
        eos_token_id=END,
        **{"top_k": 0, **options},
    )
    config._eos_token_tensor = torch.tensor([END])
    processors = model._get_logits_processor(
        config, input_ids_seq_length=len(PROMPT), encoder_input_ids=None, prefix_allowed_tokens_fn=None,
        logits_processor=transformers.LogitsProcessorList(),
    )  # fmt: skip
    return processors(torch.tensor([PROMPT + ANSWER]), logits_1V.clone()).softmax(-1)[0]


def ours(logits_1V, rules):
    """Probabilities of the same from what `draw` inverts."""
    params = SamplingParams(**{"max_tokens": 20, "stop_ids": (END,), **rules})
    row = Sequence(Request(id=0, prompt_ids=PROMPT, sampling=params), room=20, tokenizer=None, stream_text=False)
    for token in ANSWER:
        row.accept(token, 0.0, [])
    table = SamplingTable.of([params], VOCAB, CPU)
    adjusted_1V = adjust(logits_1V, [row])
    if kind_of(params) == "whole":
        return soften(adjusted_1V, table.temperature_R1)[0]
    weight_1C, index_1C = without_tail(adjusted_1V, table, None)
    return torch.zeros(VOCAB).scatter(0, index_1C[0], weight_1C[0] / weight_1C.sum())


@pytest.mark.parametrize("rules", RULES, ids=["plain", "repetition", "least length", "all"])
def test_every_combination_of_cuts_gives_the_distribution_of_transformers(reference, rules):
    logits_1V = torch.randn(1, VOCAB, generator=torch.Generator().manual_seed(3)) * 2
    for values in itertools.product(*CUTS.values()):
        asked = {**dict(zip(CUTS, values, strict=True)), **rules}
        mine, other = ours(logits_1V, asked), theirs(reference, logits_1V, asked)
        assert torch.equal(mine > 0, other > 0), asked
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-5, msg=str(asked))


def test_tokens_as_likely_as_the_last_of_the_top_k_stay(reference):
    logits_1V = torch.zeros(1, VOCAB)
    logits_1V[0, 10:14], logits_1V[0, 20:23] = 2.0, 3.0
    for top_k in (1, 2, 3, 4, 6, 7, 8, 49):
        mine, other = (of(*given) for of, given in (
            (ours, (logits_1V, {"top_k": top_k})), (theirs, (reference, logits_1V, {"top_k": top_k})),
        ))  # fmt: skip
        torch.testing.assert_close(mine, other)


def test_equal_scores_are_drawn_alike_whatever_the_neighbours_ask_for():
    draws = torch.Generator().manual_seed(0)
    logits_RV = torch.randint(0, 4, (3, 500), generator=draws).float()
    rows = [SamplingParams(top_k=k, top_p=0.9) for k in (3, 40, 0)]
    uniform_R = uniforms(np.full(3, 5, np.uint64), range(3))
    together = draw(logits_RV, SamplingTable.of(rows, 500, CPU), lambda: uniform_R)
    for at, row in enumerate(rows):
        alone = draw(logits_RV[[at]], SamplingTable.of([row], 500, CPU), partial(uniform_R.__getitem__, [at]))
        assert together[at] == alone


@pytest.mark.parametrize(
    "rules",
    [{}, {"top_k": 9, "temperature": 1.4}, {"top_p": 0.8}, {"min_p": 0.1, "repetition_penalty": 1.5}],
    ids=["plain", "top_k", "top_p", "min_p"],
)
def test_answers_of_the_engine_pass_a_chi_square_test_against_transformers(reference, tmp_path, rules):
    stats = pytest.importorskip("scipy.stats", reason="scipy is missing")
    reference.save_pretrained(tmp_path)
    count = 1500
    asked = SamplingParams(max_tokens=1, seed=11, **rules)
    done = generate(load_model(tmp_path), None, [PROMPT + ANSWER] * count, asked, max_slots=500)
    with torch.no_grad():
        logits_1V = reference(torch.tensor([PROMPT + ANSWER])).logits[:, -1]
    expected = theirs(reference, logits_1V, rules).double().numpy() * count
    seen = Counter(answer.token_ids[0] for answer in done)
    observed = np.array([seen[token] for token in range(VOCAB)], np.float64)
    assert (observed[expected == 0] == 0).all()
    rare = expected < 5
    groups = [(observed[~rare], expected[~rare])]
    if expected[rare].sum() > 0:
        groups.append((observed[rare].sum(keepdims=True), expected[rare].sum(keepdims=True)))
    found, wanted = (np.concatenate(part) for part in zip(*groups, strict=True))
    assert stats.chisquare(found, wanted * found.sum() / wanted.sum()).pvalue > 1e-4


@pytest.mark.parametrize(
    "rules",
    [{}, {"repetition_penalty": 1.8}, {"min_tokens": 12}, {"logit_bias": {END: 50.0}}],
    ids=["plain", "repetition", "least length", "bias"],
)
def test_greedy_answers_and_their_scores_are_those_of_transformers(reference, tmp_path, rules):
    reference.save_pretrained(tmp_path)
    options = dict(rules)
    bias = options.pop("logit_bias", None)
    found = reference.generate(
        torch.tensor([PROMPT]),
        attention_mask=torch.ones(1, len(PROMPT)),
        do_sample=False,
        max_new_tokens=20,
        min_new_tokens=options.pop("min_tokens", None),
        sequence_bias=[[[token], value] for token, value in bias.items()] if bias else None,
        output_logits=True,
        return_dict_in_generate=True,
        pad_token_id=0,
        **options,
    )
    asked = SamplingParams(max_tokens=20, temperature=0.0, stop_ids=(END,), logprobs=3, prompt_logprobs=0, **rules)
    (answer,) = generate(load_model(tmp_path), None, [PROMPT], asked)
    assert answer.token_ids == found.sequences[0, len(PROMPT) :].tolist()
    own_TV = torch.stack([step[0] for step in found.logits]).log_softmax(-1)
    wanted_T = own_TV.gather(1, found.sequences[0, len(PROMPT) :, None])[:, 0]
    torch.testing.assert_close(torch.tensor(answer.logprobs), wanted_T, atol=2e-5, rtol=0)
    best = own_TV.topk(3)
    assert [[token for token, _ in top] for top in answer.top_logprobs] == best.indices.tolist()
    with torch.no_grad():
        prompt_TV = reference(torch.tensor([PROMPT])).logits[0, :-1].log_softmax(-1)
    wanted_T = prompt_TV.gather(1, torch.tensor(PROMPT[1:])[:, None])[:, 0]
    torch.testing.assert_close(torch.tensor(answer.prompt_logprobs), wanted_T, atol=2e-5, rtol=0)
