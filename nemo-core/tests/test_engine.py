"""The engine gives each request what it would get alone, whatever else is running."""

import pytest
import torch

from nemo_core.checkpoint.folder import save_model
from nemo_core.config import ModelConfig
from nemo_core.foundation.errors import InputError, SuiteError
from nemo_core.inference import Engine, Request, SamplingParams, generate
from nemo_core.model.decoder import Decoder
from nemo_core.peft.lora import add_lora, lora_layers
from nemo_core.peft.merge import merge_adapters
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
    assert with_adapter == generate(merge_adapters(adapted), None, [[1, 2, 3]], GREEDY)[0].token_ids
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
    "wrong",
    [
        {"temperature": -1.0},
        {"top_p": -0.1},
        {"max_tokens": 0},
        {"temperature": float("nan")},
        {"stop": ("",)},
        {"stop": "abc"},
        {"logprobs": -1},
    ],
)
def test_impossible_sampling_is_refused(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))}=.* is out of range"):
        SamplingParams(**wrong)


def test_an_answer_ends_where_the_positions_end(model):
    (answer,) = generate(model, None, [[1] * 60], SamplingParams(max_tokens=1000, temperature=0.0))
    assert (len(answer.token_ids), answer.finish_reason) == (4, "length")


def test_long_prompts_are_read_in_chunks_beside_running_answers(model):
    long, short = prompts(40, seed=1)[0] * 3, [1, 2]
    long = (long * 40)[:50]
    engine = Engine(model, None, max_slots=4, max_prefill_tokens=7)
    engine.add(Request(id="short", prompt_ids=short, sampling=GREEDY))
    engine.step()
    engine.add(Request(id="long", prompt_ids=long, sampling=GREEDY))
    gained = [[d.id for d in engine.step()] for _ in range(8)]
    assert gained[:7] == [["short"]] * 7
    assert gained[7] == ["short", "long"]
    tokens = drain(engine)
    whole = generate(model, None, [long], GREEDY)[0].token_ids
    assert tokens["long"] == whole[1:]


def test_a_prompt_takes_over_the_beginning_that_another_has_computed(model, monkeypatch):
    computed = count_computed(monkeypatch)
    beginning = prompts(9, seed=2)[4] * 3
    beginning = (beginning * 30)[:30]
    asked = [[*beginning, *tail] for tail in ([1], [2, 3], [1, 9], [4])]
    shared = generate(model, None, asked, GREEDY)
    assert sum(computed) <= len(beginning) + 4 * (2 + GREEDY.max_tokens)
    for prompt, answer in zip(asked, shared):
        assert answer.token_ids == generate(model, None, [prompt], GREEDY)[0].token_ids


def test_a_conversation_goes_on_from_what_the_last_turn_left(model, monkeypatch):
    engine = Engine(model, None, max_slots=2)
    turn = prompts(9, seed=2)[4]
    engine.add(Request(id=1, prompt_ids=turn, sampling=GREEDY))
    answer = drain(engine)[1]
    computed = count_computed(monkeypatch)
    engine.add(Request(id=2, prompt_ids=[*turn, *answer, 7], sampling=GREEDY))
    assert drain(engine)[2] == generate(model, None, [[*turn, *answer, 7]], GREEDY)[0].token_ids
    assert computed[0] == 2


def count_computed(monkeypatch) -> list[int]:
    """Lets the runner work, and notes how many tokens each step gave it."""
    from nemo_core.inference.runner import Runner

    counts: list[int] = []
    original = Runner.hidden

    def counting(self, batch, cache):
        counts.append(len(batch.ids_N))
        return original(self, batch, cache)

    monkeypatch.setattr(Runner, "hidden", counting)
    return counts


def test_the_cache_grows_with_the_answer(model):
    import dataclasses

    roomy = Decoder(dataclasses.replace(TINY, max_positions=1000))
    roomy.load_state_dict(model.state_dict())
    (answer,) = generate(roomy, None, [[1, 2]], SamplingParams(max_tokens=600, temperature=0.0))
    ids = torch.tensor([[1, 2, *answer.token_ids]])
    likeliest = roomy.logits(roomy(ids))[0, 1:-1].argmax(-1)
    assert answer.token_ids == likeliest.tolist()


def test_stop_ids_end_an_answer_and_are_part_of_it(model, tokenizer):
    (free,) = generate(model, tokenizer, [[3, 4]], SamplingParams(max_tokens=20, seed=2, ignore_eos=True))
    last = next(i for i, t in enumerate(free.token_ids) if t not in free.token_ids[:i] and i > 3)
    stop = SamplingParams(max_tokens=20, seed=2, ignore_eos=True, stop_ids=(free.token_ids[last],))
    (stopped,) = generate(model, tokenizer, [[3, 4]], stop)
    assert (stopped.token_ids, stopped.finish_reason) == (free.token_ids[: last + 1], "stop")
    assert stopped.text == tokenizer.decode(free.token_ids[:last])


def test_repetition_penalty_equals_transformers(model, tmp_path):
    transformers = pytest.importorskip("transformers", reason="the reference implementation is not installed")
    save_model(model, tmp_path)
    reference = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    prompt = [5, 6, 7, 5]
    wanted = reference.generate(
        torch.tensor([prompt]), do_sample=False, max_new_tokens=20, eos_token_id=None, repetition_penalty=1.7
    )
    rules = SamplingParams(max_tokens=20, temperature=0.0, repetition_penalty=1.7)
    beside = generate(model, None, [prompt, [8]], [rules, GREEDY])
    assert beside[0].token_ids == wanted[0, 4:].tolist()
    assert beside[1].token_ids == generate(model, None, [[8]], GREEDY)[0].token_ids


def test_a_broken_model_is_reported(model):
    import copy

    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.model.norm.weight.fill_(torch.nan)
    for temperature in (0.0, 1.0):
        with pytest.raises(SuiteError, match=r"scores are not numbers \(NaN\)"):
            generate(broken, None, [[1, 2]], SamplingParams(temperature=temperature))


def test_a_tokenizer_larger_than_the_model_is_refused(model, tokenizer):
    import dataclasses

    small = Decoder(dataclasses.replace(TINY, vocab_size=200))
    with pytest.raises(InputError, match="the tokenizer has 257 ids, the model 200: not made for each other"):
        Engine(small, tokenizer)
