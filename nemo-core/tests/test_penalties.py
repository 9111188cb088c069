"""Rules on scores agree with transformers' processors, or with their formula where it has none."""

from collections import Counter

import pytest
import torch

from nemo_core.config import ModelConfig
from nemo_core.foundation.errors import InputError
from nemo_core.inference import Request, SamplingParams, generate
from nemo_core.inference.penalties import adjust
from nemo_core.inference.sequence import Sequence
from nemo_core.model.decoder import Decoder

PROMPT, ANSWER = [3, 4, 3, 9], [5, 5, 3]
LOGITS = torch.randn(1, 12, generator=torch.Generator().manual_seed(0)) * 3


def row(**rules: object) -> Sequence:
    sequence = Sequence(
        Request(id=0, prompt_ids=PROMPT, sampling=SamplingParams(**rules)), room=9, tokenizer=None, stream_text=False
    )
    for token in ANSWER:
        sequence.accept(token, 0.0, [])
    return sequence


def adjusted(**rules: object) -> torch.Tensor:
    return adjust(LOGITS, [row(**rules)])


def test_repetition_bias_and_least_length_are_those_of_transformers():
    transformers = pytest.importorskip("transformers", reason="the reference implementation is not installed")
    ids = torch.tensor([PROMPT + ANSWER])
    bias = {2: 1.5, 5: -3.0}
    processors = transformers.LogitsProcessorList(
        [
            transformers.SequenceBiasLogitsProcessor({(token,): value for token, value in bias.items()}),
            transformers.RepetitionPenaltyLogitsProcessor(1.7),
            transformers.MinNewTokensLengthLogitsProcessor(len(PROMPT), 5, [7, 8]),
        ]
    )
    found = adjusted(repetition_penalty=1.7, logit_bias=bias, min_tokens=5, stop_ids=(7, 8))
    torch.testing.assert_close(found, processors(ids, LOGITS.clone()))


def test_frequency_and_presence_count_the_answer_only():
    wanted = LOGITS.clone()
    for token, count in Counter(ANSWER).items():
        wanted[0, token] -= 0.4 * count + 0.3
    torch.testing.assert_close(adjusted(frequency_penalty=0.4, presence_penalty=0.3), wanted)


def test_rows_without_rules_and_the_models_own_scores_are_left_alone():
    before = LOGITS.clone()
    both = adjust(LOGITS.expand(2, -1), [row(), row(presence_penalty=2.0)])
    assert torch.equal(both[0], before[0]) and not torch.equal(both[1], before[0])
    assert torch.equal(LOGITS, before)
    assert adjusted() is LOGITS


@pytest.fixture(scope="module")
def model() -> Decoder:
    config = ModelConfig(
        vocab_size=40, hidden_size=32, num_layers=1, num_heads=2, num_kv_heads=2, head_dim=16, ffn_size=40
    )
    return Decoder(config, seed=0).eval()


def test_an_answer_does_not_end_before_its_least_length(model):
    free = generate(model, None, [[1, 2]], SamplingParams(max_tokens=12, seed=0, stop_ids=tuple(range(20))))
    held = generate(
        model, None, [[1, 2]], SamplingParams(max_tokens=12, seed=0, stop_ids=tuple(range(20)), min_tokens=8)
    )
    assert len(free[0].token_ids) < 8 <= len(held[0].token_ids)
    assert all(token >= 20 for token in held[0].token_ids[:8])


def test_a_large_bias_decides(model):
    (answer,) = generate(
        model, None, [[1]], SamplingParams(max_tokens=5, temperature=1.0, seed=1, logit_bias={33: 1e4})
    )
    assert answer.token_ids == [33] * 5


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"min_tokens": 9, "max_tokens": 4}, "min_tokens=9 is out of range; it lies between 0 and 4"),
        ({"logit_bias": {1: float("inf")}}, "logit_bias={1: inf} is out of range"),
        ({"presence_penalty": float("nan")}, "presence_penalty=nan is out of range"),
        ({"prompt_logprobs": -1}, "prompt_logprobs=-1 is out of range"),
    ],
)
def test_impossible_rules_are_refused(rules, message):
    with pytest.raises(InputError, match=message):
        SamplingParams(**rules)


def test_a_bias_on_a_token_that_the_model_lacks_is_refused(model):
    with pytest.raises(InputError, match="logit_bias: token id 40 is outside the vocabulary of 40"):
        generate(model, None, [[1]], SamplingParams(logit_bias={40: 1.0}))


def test_an_end_that_the_model_lacks_is_refused(model):
    with pytest.raises(InputError, match="stop_ids: token id 99 is outside the vocabulary of 40"):
        generate(model, None, [[1]], SamplingParams(stop_ids=(99,), min_tokens=2))


def test_an_end_that_a_folder_names_and_the_model_lacks_forbids_nothing():
    found = adjusted(min_tokens=5, stop_ids=(99, -1, 7))
    assert (found == -torch.inf).nonzero().tolist() == [[0, 7]]
