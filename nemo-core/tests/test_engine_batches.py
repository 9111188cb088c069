"""Neighbours, adapters, a short cache, rounding and new weights: what each of them may and may not change."""

import copy
import functools
import itertools
import random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nemo_core.config import ModelConfig
from nemo_core.foundation.errors import ArtifactError, ConfigError, InputError
from nemo_core.inference import Engine, Request, SamplingParams, generate
from nemo_core.inference.adapters import adapter_of_model
from nemo_core.inference.kv_cache import LayerBlocks
from nemo_core.inference.paged import Decoding, attend_blocks
from nemo_core.inference.projection import Int8Kernel, Projection
from nemo_core.model.decoder import Decoder
from nemo_core.peft.adapter import adapters_disabled, add_adapter
from nemo_core.peft.folder import save_adapter
from nemo_core.peft.lora import add_lora, lora_layers
from nemo_core.peft.merge import merge_adapters
from nemo_core.peft.settings import BottleneckSettings, Ia3Settings, LoraSettings

SHAPE = ModelConfig(
    vocab_size=131,
    hidden_size=48,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    ffn_size=80,
    max_positions=96,
)


def drawn(config: ModelConfig) -> Decoder:
    model, draw = Decoder(config), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=draw) * 0.3 + (1.0 if weight.ndim == 1 else 0.0))
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def model() -> Decoder:
    return drawn(SHAPE)


def run(engine: Engine, requests: list[Request]) -> dict[object, tuple[list[int], list[float]]]:
    """Tokens and log-probabilities of each request."""
    for request in requests:
        engine.add(request)
    gained: dict[object, tuple[list[int], list[float]]] = {r.id: ([], []) for r in requests}
    while engine.has_work:
        for delta in engine.step():
            gained[delta.id][0].extend(delta.token_ids)
            gained[delta.id][1].extend(delta.logprobs)
    return gained


def requests(count: int, *, seed: int = 0) -> list[Request]:
    draw = random.Random(seed)
    rules = [{}, {"top_k": 7}, {"top_p": 0.8}, {"min_p": 0.1}, {"temperature": 0.0}, {"frequency_penalty": 0.5}]
    return [
        Request(
            id=number,
            prompt_ids=[draw.randrange(131) for _ in range(draw.randint(1, 40))],
            sampling=SamplingParams(
                max_tokens=draw.randint(1, 20), seed=draw.randrange(2**32), logprobs=0, **rules[number % len(rules)]
            ),
        )
        for number in range(count)
    ]


ASKED = requests(10)


@pytest.fixture(scope="module")
def alone(model) -> dict[object, tuple[list[int], list[float]]]:
    """What each request gets when nothing else is computed."""
    return {r.id: run(Engine(model, None, max_slots=1), [r])[r.id] for r in ASKED}


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.permutations(ASKED),
    st.integers(1, 10),
    st.integers(1, 6),
    st.sampled_from([5, 64, 2048]),
    st.sampled_from([96, 160, None]),
    st.sampled_from([16, 32]),
)
def test_a_request_gets_the_same_tokens_in_any_company(model, alone, order, count, slots, budget, cache, block):
    engine = Engine(model, None, max_slots=slots, max_prefill_tokens=budget, cache_tokens=cache, block_size=block)
    for key, (tokens, logprobs) in run(engine, order[:count]).items():
        assert tokens == alone[key][0]
        assert logprobs == pytest.approx(alone[key][1], abs=1e-4)


def test_decoding_beside_others_changes_no_bit(model):
    plain = [Request(id=r.id, prompt_ids=r.prompt_ids[:8], sampling=r.sampling) for r in ASKED]
    together = run(Engine(model, None, max_slots=10), plain)
    for request in plain:
        assert run(Engine(model, None), [request])[request.id] == together[request.id]
    rounded = run(Engine(model, None, max_slots=10, quantize="int8"), plain)
    for request in plain:
        assert run(Engine(model, None, quantize="int8"), [request])[request.id] == rounded[request.id]


def test_a_short_cache_makes_requests_wait_and_start_anew_but_changes_no_token(model):
    long = SamplingParams(max_tokens=60, seed=5, logprobs=0)
    asked = [Request(id=number, prompt_ids=[number, 7, 9], sampling=long) for number in range(4)]
    engine = Engine(model, None, max_slots=8, cache_tokens=96, block_size=16)
    answers = run(engine, asked)
    stats = engine.stats()
    assert stats.preemptions > 0
    assert stats.cache_blocks == 6
    assert stats.cache_blocks_used == 0
    for request in asked:
        assert answers[request.id][0] == run(Engine(model, None), [request])[request.id][0]


def test_a_cache_too_small_for_one_sequence_is_refused(model):
    with pytest.raises(InputError, match=r"cache_tokens=80 is 5 blocks of 16 tokens, but one sequence .* needs 6"):
        Engine(model, None, cache_tokens=80)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_rows_read_where_they_lie_equal_all_rows_copied_together(seed):
    draw = random.Random(seed)
    rows, blocks, size = draw.randint(1, 5), 40, 8
    stops = [draw.randint(1, 40) for _ in range(rows)]
    counts = [-(-stop // size) for stop in stops]
    scattered = [draw.sample(range(blocks), count) for count in counts]
    tables = [draw.choice([table, list(range(table[0] % 35, table[0] % 35 + len(table)))]) for table in scattered]
    generator, width = torch.Generator().manual_seed(seed), draw.choice([6, 16, 40, 144])
    keys, values = (torch.randn(2, blocks * size, width, generator=generator) for _ in "kv")
    q, cache = torch.randn(rows, 6, width, generator=generator), LayerBlocks(keys, values, keys.mT)
    decoding = Decoding(tables, stops, size, torch.device("cpu"))
    for window, softcap, compiled in itertools.product((None, 5), (None, 2.0), (True, False)):
        mix = functools.partial(attend_blocks, cache=cache, scale=0.3, softcap=softcap)
        found = mix(q, seen=decoding.seen(window, compiled=compiled))
        torch.testing.assert_close(found, mix(q, seen=decoding.table(window)))
        for row, (table, stop) in enumerate(zip(tables, stops)):
            alone = Decoding([table], [stop], size, torch.device("cpu")).seen(window, compiled=compiled)
            assert torch.equal(mix(q[row : row + 1], seen=alone)[0], found[row])


def adapted(model: Decoder, seed: int, rank: int) -> Decoder:
    """A copy of `model` with a LoRA adapter that changes its answers."""
    made = add_lora(copy.deepcopy(model), rank=rank, alpha=8.0, seed=seed)
    with torch.no_grad():
        for layer in lora_layers(made).values():
            layer.lora_B.normal_(std=0.3, generator=torch.Generator().manual_seed(seed))
    return made


def test_each_request_of_a_batch_gets_its_own_adapter(model, tmp_path):
    one, two = adapted(model, 1, 2), adapted(model, 2, 5)
    save_adapter(two, tmp_path / "two", base="m")
    engine = Engine(model, None, max_slots=6)
    engine.add_adapter("one", adapter_of_model(one, "default"))
    engine.add_adapter("two", tmp_path / "two")
    assert engine.adapters == ["one", "two"]
    prompt, greedy = list(range(30)), SamplingParams(max_tokens=9, temperature=0.0, logprobs=0)
    names = [None, "one", "two", "one", None, "two"]
    asked = [Request(id=i, prompt_ids=prompt, sampling=greedy, adapter=name) for i, name in enumerate(names)]
    answers = run(engine, asked)
    merged = {None: model, "one": merge_adapters(one), "two": merge_adapters(two)}
    for number, name in enumerate(names):
        (wanted,) = generate(merged[name], None, [prompt], greedy)
        assert answers[number][0] == wanted.token_ids
        assert answers[number][1] == pytest.approx(wanted.logprobs, abs=1e-3)
    assert len({tuple(answers[n][0]) for n in range(3)}) == 3
    engine.remove_adapter("one")
    with pytest.raises(InputError, match="no adapter 'one'; loaded are two"):
        engine.add(Request(id=9, prompt_ids=prompt, adapter="one"))


KINDS = {
    "rslora": ("lora", LoraSettings(rank=3, alpha=8.0, rank_stabilized=True)),
    "dora": ("dora", LoraSettings(rank=2, alpha=8.0)),
    "ia3": ("ia3", Ia3Settings()),
}


def disturbed(model: Decoder, method: str, settings, seed: int) -> Decoder:
    """A copy of `model` with an adapter of the method, every part of it redrawn."""
    made = add_adapter(copy.deepcopy(model), method, settings, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if ".adapters." in name:
                about = weight if weight.ndim == 1 or "ia3_l" in name else 0.0
                weight.copy_(about + 0.3 * torch.randn(weight.shape, generator=draw))
    return made


@pytest.mark.parametrize("from_folder", [True, False])
def test_each_request_chooses_an_adapter_of_any_kind_that_changes_linear_layers(model, tmp_path, from_folder):
    models = {name: disturbed(model, *kind, seed=number) for number, (name, kind) in enumerate(KINDS.items(), 1)}
    engine = Engine(model, None, max_slots=8)
    for name, one in models.items():
        save_adapter(one, tmp_path / name, base="m")
        engine.add_adapter(name, tmp_path / name if from_folder else adapter_of_model(one, "default"))
    prompt, greedy = list(range(20)), SamplingParams(max_tokens=7, temperature=0.0, logprobs=0)
    names = [None, *KINDS, None, *KINDS]
    wanted = {None: model, **{name: merge_adapters(one) for name, one in models.items()}}

    def check() -> None:
        answers = run(
            engine, [Request(id=i, prompt_ids=prompt, sampling=greedy, adapter=n) for i, n in enumerate(names)]
        )
        for number, name in enumerate(names):
            (alone,) = generate(wanted[name], None, [prompt], greedy)
            assert answers[number][0] == alone.token_ids, name
            assert answers[number][1] == pytest.approx(alone.logprobs, abs=1e-3), name
        assert len({tuple(answers[number][1]) for number in range(4)}) == 4

    check()
    (lone,) = [run(engine, [Request(id=9, prompt_ids=prompt, sampling=greedy, adapter="ia3")])]
    (alone,) = generate(wanted["ia3"], None, [prompt], greedy)
    assert lone[9][0] == alone.token_ids


def test_adapters_keep_their_meaning_when_the_weights_under_them_change(model):
    own = copy.deepcopy(model)
    dora = disturbed(own, *KINDS["dora"], seed=2)
    engine = Engine(own, None, max_slots=2)
    engine.add_adapter("dora", adapter_of_model(dora, "default"))
    with torch.no_grad():
        for one in (own.model.layers[0].self_attn.q_proj, dora.model.layers[0].self_attn.q_proj.base):
            one.weight.mul_(1.7)
    engine.refresh()
    greedy = SamplingParams(max_tokens=6, temperature=0.0, logprobs=0)
    answers = run(engine, [Request(id=0, prompt_ids=[1, 2, 3], sampling=greedy, adapter="dora")])
    (wanted,) = generate(merge_adapters(dora), None, [[1, 2, 3]], greedy)
    assert answers[0][0] == wanted.token_ids
    assert answers[0][1] == pytest.approx(wanted.logprobs, abs=1e-3)


def test_adapters_that_do_not_fit_a_batch_are_refused_by_name(model, tmp_path):
    deep = add_adapter(copy.deepcopy(model), "adapter", BottleneckSettings(size=2), seed=0)
    with pytest.raises(ConfigError, match="is of method adapter; requests can choose lora, dora, ia3 only"):
        adapter_of_model(deep, "default")
    save_adapter(deep, tmp_path / "deep", base="m")
    engine = Engine(model, None)
    with pytest.raises(ArtifactError, match="method adapter: requests of one batch can choose lora, dora, ia3 only"):
        engine.add_adapter("deep", tmp_path / "deep")
    dora = add_adapter(copy.deepcopy(model), "dora", LoraSettings(rank=2, alpha=4.0), seed=0)
    weights = adapter_of_model(adapted(model, 1, 2), "default")
    with pytest.raises(InputError, match=r"changes model.layers.7.mlp.up_proj, which requests of one batch cannot"):
        engine.add_adapter("deep", {"model.layers.7.mlp.up_proj": weights["model.layers.0.mlp.up_proj"]})
    with pytest.raises(InputError, match=r"model\.layers.0.mlp.down_proj is 48 to 80 wide; this model: "):
        engine.add_adapter("wide", {"model.layers.0.mlp.down_proj": weights["model.layers.0.mlp.up_proj"]})
    with adapters_disabled(dora):
        greedy = SamplingParams(max_tokens=5, temperature=0.0)
        assert (
            generate(dora, None, [[1, 2]], greedy)[0].token_ids == generate(model, None, [[1, 2]], greedy)[0].token_ids
        )


def test_int8_weights_round_by_half_a_step_and_rows_do_not_depend_on_each_other():
    draw = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(96, 64, generator=draw), torch.randn(96, generator=draw)
    x = torch.randn(33, 64, generator=draw)
    kernel, wanted = Int8Kernel(weight, bias), x @ weight.T + bias
    found = kernel(x)
    assert ((found - wanted).norm() / wanted.norm()) < 0.02
    for row in range(0, 33, 8):
        assert torch.equal(kernel(x[row : row + 1])[0], found[row])
    assert kernel(torch.zeros(1, 64)).equal(bias[None])


def test_int8_models_answer_nearly_alike(model):
    exact, rounded = Engine(model, None), Engine(model, None, quantize="int8")
    ids = [i * 7 % 131 for i in range(60)]
    plain, close = ([s for s, _ in engine.score(ids)] for engine in (exact, rounded))
    difference = sum(a - b for a, b in zip(plain, close)) / len(plain)
    assert plain != close
    assert abs(difference) < 0.1


def test_new_weights_are_taken_without_a_new_engine(model):
    learning, prompt = copy.deepcopy(model), list(range(40))
    greedy = SamplingParams(max_tokens=10, temperature=0.0)
    engine = Engine(learning, None, max_slots=2)
    first = run(engine, [Request(id=1, prompt_ids=prompt, sampling=greedy)])[1][0]
    engine.add(Request(id=2, prompt_ids=prompt, sampling=greedy))
    begun = [token for delta in engine.step() for token in delta.token_ids]
    with torch.no_grad():
        for weight in learning.parameters():
            weight.mul_(1.3)
    engine.refresh()
    rest = [token for _ in range(9) for delta in engine.step() for token in delta.token_ids]
    assert not engine.has_work
    (wanted,) = generate(learning, None, [[*prompt, *begun]], SamplingParams(max_tokens=9, temperature=0.0))
    assert rest == wanted.token_ids
    again = run(engine, [Request(id=3, prompt_ids=prompt, sampling=greedy)])[3][0]
    assert again == generate(learning, None, [prompt], greedy)[0].token_ids != first


def test_stats_count_tokens_hits_and_time(model):
    ticks = iter(range(1000))
    engine = Engine(model, None, max_slots=2, clock=lambda: float(next(ticks)))
    for number in range(3):
        engine.add(Request(id=number, prompt_ids=[1] * 33, sampling=SamplingParams(max_tokens=2, temperature=0.0)))
    engine.step()
    assert (engine.stats().running, engine.stats().waiting) == (1, 2)
    assert engine.stats().cache_use == pytest.approx(3 / 12)
    while engine.has_work:
        engine.step()
    stats = engine.stats()
    assert (stats.generated_tokens, stats.prompt_tokens, stats.shared_tokens) == (6, 99, 64)
    assert stats.hit_rate == pytest.approx(64 / 99)
    assert stats.tokens_per_s == pytest.approx(6 / stats.busy_s)


def test_a_projection_of_layers_of_different_biases_keeps_them_apart():
    plain, biased = torch.nn.Linear(8, 5, bias=False), torch.nn.Linear(8, 3)
    x = torch.randn(2, 4, 8)
    joined = Projection({"a": plain, "b": biased})(x)
    torch.testing.assert_close(joined, torch.cat([plain(x), biased(x)], -1))
