"""The engine gives each request what it would get alone, whatever else is running."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.checkpoint.folder import save_model
from nemo_core.config import ModelConfig
from nemo_core.foundation.errors import InputError
from nemo_core.inference import Engine, Request, SamplingParams, generate
from nemo_core.inference.sampling import choose, row_rules, uniform
from nemo_core.inference.scheduler import Limits, admit
from nemo_core.model.decoder import Decoder
from nemo_core.peft.lora import add_lora, lora_layers, merge_lora
from nemo_core.tokenizer.load import Tokenizer

TINY = ModelConfig(
    vocab_size=300,
    hidden_size=48,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    ffn_size=80,
    max_positions=64,
)
GREEDY = SamplingParams(max_tokens=12, temperature=0.0, logprobs=0)


@pytest.fixture(scope="module")
def model() -> Decoder:
    torch.set_num_threads(1)
    model = Decoder(TINY)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=draw) * 0.3 + (1.0 if weight.ndim == 1 else 0.0))
    return model.eval()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Backend(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>"])
    return Tokenizer(
        backend=backend, eos_id=256, pad_id=256, bos_id=None, stop_ids=frozenset({256}), chat_template=None
    )


def prompts(count: int, seed: int = 0) -> list[list[int]]:
    draw = torch.Generator().manual_seed(seed)
    return [
        torch.randint(0, 256, (int(torch.randint(1, 30, (1,), generator=draw)),), generator=draw).tolist()
        for _ in range(count)
    ]


def drain(engine: Engine) -> dict[object, list[int]]:
    tokens: dict[object, list[int]] = {}
    while engine.has_work:
        for delta in engine.step():
            tokens.setdefault(delta.id, []).extend(delta.token_ids)
    return tokens


def test_greedy_tokens_equal_transformers_under_any_arrival(model, tmp_path):
    transformers = pytest.importorskip("transformers", reason="the reference implementation is not installed")
    save_model(model, tmp_path)
    reference = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    asked = prompts(9)
    engine = Engine(model, None, max_slots=3)
    ours: dict[object, list[int]] = {}
    for index, prompt in enumerate(asked):
        engine.add(Request(id=index, prompt_ids=prompt, sampling=GREEDY))
        for _ in range(index % 4):
            for delta in engine.step():
                ours.setdefault(delta.id, []).extend(delta.token_ids)
    for key, tokens in drain(engine).items():
        ours.setdefault(key, []).extend(tokens)
    for index, prompt in enumerate(asked):
        wanted = reference.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=12, eos_token_id=None)
        assert ours[index] == wanted[0, len(prompt) :].tolist()


def test_a_seed_gives_the_same_tokens_alone_and_in_a_crowd(model):
    asked = prompts(12, seed=3)
    sampling = [
        SamplingParams(max_tokens=10 + i, temperature=0.8, top_k=20 * (i % 2), top_p=0.9, seed=100 + i)
        for i in range(len(asked))
    ]
    alone = [generate(model, None, [p], [s])[0].token_ids for p, s in zip(asked, sampling)]
    crowd = generate(model, None, asked, sampling, max_slots=5)
    assert [c.token_ids for c in crowd] == alone


def test_equal_prompts_share_their_reading_and_differ_by_seed(model):
    (prompt,) = prompts(1)
    answers = generate(model, None, [prompt] * 6, SamplingParams(max_tokens=8, seed=7))
    assert len({tuple(a.token_ids) for a in answers}) > 1
    again = generate(model, None, [prompt], SamplingParams(max_tokens=8, seed=9))
    assert again[0].token_ids == answers[2].token_ids


def test_log_probs_are_the_models_own(model):
    (answer,) = generate(model, None, [[5, 6, 7]], SamplingParams(max_tokens=9, seed=1, temperature=0.7, logprobs=0))
    ids = torch.tensor([answer.prompt_ids + answer.token_ids])
    logp = model.logits(model(ids)).log_softmax(-1)[0, 2:-1]
    expected = logp.gather(1, torch.tensor(answer.token_ids)[:, None]).squeeze(1)
    torch.testing.assert_close(torch.tensor(answer.logprobs), expected.detach(), rtol=1e-4, atol=1e-4)
    scored = Engine(model, None).score(ids[0].tolist(), top=2)
    torch.testing.assert_close(torch.tensor([s[0] for s in scored[2:]]), expected.detach(), rtol=1e-4, atol=1e-4)
    assert scored[0][1][0][1] >= scored[0][1][1][1]


def test_adapters_are_part_of_what_is_generated(model):
    import copy

    adapted = add_lora(copy.deepcopy(model), rank=2, alpha=8.0, seed=0)
    with torch.no_grad():
        for layer in lora_layers(adapted).values():
            layer.lora_B.normal_(generator=torch.Generator().manual_seed(1))
    with_adapter = generate(adapted, None, [[1, 2, 3]], GREEDY)[0].token_ids
    assert with_adapter == generate(merge_lora(adapted), None, [[1, 2, 3]], GREEDY)[0].token_ids
    assert with_adapter != generate(model, None, [[1, 2, 3]], GREEDY)[0].token_ids


def test_streamed_text_is_whole_characters_and_stops_before_the_stop_string(model, tokenizer):
    sampling = SamplingParams(max_tokens=40, seed=4, ignore_eos=True)
    (whole,) = generate(model, tokenizer, [[10, 11]], sampling)
    stop = whole.text[5:8]
    engine = Engine(model, tokenizer)
    engine.add(
        Request(
            id="a", prompt_ids=[10, 11], sampling=SamplingParams(max_tokens=40, seed=4, stop=(stop,), ignore_eos=True)
        )
    )
    pieces, reason = [], None
    while engine.has_work:
        for delta in engine.step():
            pieces.append(delta.text)
            reason = delta.finish_reason or reason
    assert reason == "stop"
    assert "".join(pieces) == whole.text[: whole.text.index(stop)]


def test_cancelled_requests_free_their_row_and_say_no_more(model):
    engine = Engine(model, None, max_slots=2)
    for name, prompt in zip("abc", prompts(3)):
        engine.add(Request(id=name, prompt_ids=prompt, sampling=GREEDY))
    engine.step()
    engine.cancel("a")
    engine.cancel("unknown")
    assert engine.num_running == 1
    tokens = drain(engine)
    assert "a" not in tokens
    assert tokens["c"] == generate(model, None, [prompts(3)[2]], GREEDY)[0].token_ids


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([], "the prompt is empty"),
        ([1] * 64, "the prompt has 64 tokens; with room for an answer at most 63"),
        ([300], "token id 300 is outside the vocabulary of 300"),
    ],
)
def test_impossible_requests_are_refused(model, prompt, message):
    with pytest.raises(InputError, match=message):
        Engine(model, None).add(Request(id=1, prompt_ids=prompt))


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1.0}, {"top_p": 0.0}, {"max_tokens": 0}, {"temperature": float("nan")}]
)
def test_impossible_sampling_is_refused(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))}=.* is out of range"):
        SamplingParams(**wrong)


def test_an_answer_ends_where_the_positions_end(model):
    (answer,) = generate(model, None, [[1] * 60], SamplingParams(max_tokens=1000, temperature=0.0))
    assert (len(answer.token_ids), answer.finish_reason) == (4, "length")


@pytest.mark.parametrize("rules", [{"top_k": 3}, {"top_p": 0.6}, {"min_p": 0.3}, {"temperature": 0.5}])
def test_draws_follow_the_filtered_distribution(rules):
    from transformers import (
        LogitsProcessorList,
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    logits = torch.tensor([[2.0, 1.5, 1.0, 0.0, -1.0, -3.0]])
    warpers = {
        "top_k": TopKLogitsWarper,
        "top_p": TopPLogitsWarper,
        "min_p": MinPLogitsWarper,
        "temperature": TemperatureLogitsWarper,
    }
    expected = LogitsProcessorList([warpers[k](v) for k, v in rules.items()])(None, logits.clone()).softmax(-1)[0]
    count = 4000
    columns = row_rules([SamplingParams(**rules)] * count, torch.device("cpu"))
    drawn = choose(logits.expand(count, -1), columns, [uniform(1, i) for i in range(count)])
    share = torch.bincount(drawn, minlength=6) / count
    assert (share - expected).abs().max() < 0.03
    assert (share[expected == 0] == 0).all()


@settings(deadline=None)
@given(st.lists(st.integers(1, 500), max_size=20), st.integers(0, 8), st.integers(1, 8), st.integers(1, 600))
def test_admission_keeps_order_slots_and_budget(waiting, running, slots, budget):
    running = min(running, slots)
    count = admit(waiting, running, Limits(max_slots=slots, max_prefill_tokens=budget))
    assert 0 <= count <= min(len(waiting), slots - running)
    assert count <= 1 or sum(waiting[:count]) <= budget
    assert count or not waiting or running == slots
