"""Every adapter method on a tiny model: nothing at first, counted as written, saved, chosen, merged and taken off."""

import copy
import dataclasses
import itertools

import pytest
import torch
from torch import nn

from nemo_core.checkpoint.folder import load_model, save_model
from nemo_core.config import ModelConfig
from nemo_core.foundation.errors import ArtifactError, ConfigError, InputError
from nemo_core.model.decoder import Decoder
from nemo_core.peft.adapter import (
    activate,
    active_adapter,
    adapter_names,
    adapters_disabled,
    add_adapter,
    num_trained,
    prefix_ids,
    remove_adapter,
    using,
)
from nemo_core.peft.folder import load_adapter, save_adapter
from nemo_core.peft.merge import merge, merge_adapters, unmerge
from nemo_core.peft.method import METHODS, load_method
from nemo_core.peft.places import Place, parts
from nemo_core.peft.settings import (
    BottleneckSettings,
    Ia3Settings,
    LoraSettings,
    PromptSettings,
    PTuningSettings,
)

TINY = ModelConfig(
    vocab_size=97,
    hidden_size=48,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=12,
    ffn_size=80,
    max_positions=64,
    attention_bias=True,
    output_bias=True,
)
IDS = torch.tensor([[5, 17, 3, 88, 41, 2], [9, 9, 60, 1, 0, 33]])
CASES = {
    "lora": ("lora", LoraSettings(rank=4, alpha=6.0)),
    "rslora": ("lora", LoraSettings(rank=4, alpha=6.0, rank_stabilized=True, targets=("q_proj", "down_proj"))),
    "dora": ("dora", LoraSettings(rank=3, alpha=6.0)),
    "ia3": ("ia3", Ia3Settings()),
    "prompt": ("prompt", PromptSettings(num_tokens=5)),
    "ptuning": ("ptuning", PTuningSettings(num_tokens=5, hidden_size=24)),
    "ptuning-lstm": ("ptuning", PTuningSettings(num_tokens=5, hidden_size=24, encoder="lstm", num_layers=2)),
    "adapter": ("adapter", BottleneckSettings(size=7)),
    "adapter-post": ("adapter", BottleneckSettings(size=7, norm="post", activation="relu", targets=("mlp",))),
    "parallel_adapter": ("parallel_adapter", BottleneckSettings(size=7, norm="none", activation="gelu", scale=0.5)),
}
PROMPTS = ("prompt", "ptuning", "ptuning-lstm")
MERGEABLE = ("lora", "rslora", "dora", "ia3")
case = pytest.mark.parametrize("case", CASES)


def redrawn(config: ModelConfig = TINY, seed: int = 0) -> Decoder:
    """A model whose every weight, norms and biases too, is drawn."""
    model = Decoder(config)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(1.0 if "norm" in name else 0.0, 0.2, generator=draw)
    return model.requires_grad_(True).eval()


def stirred(model: nn.Module, seed: int = 1) -> nn.Module:
    """The model with every weight that learns moved, as training would."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.empty_like(weight).normal_(0.0, 0.3, generator=draw))
    return model


def adapted(case: str, model: Decoder | None = None, **others) -> Decoder:
    method, settings = CASES[case]
    return add_adapter(model if model is not None else redrawn(), method, settings, **others)


def answers(model: Decoder, ids_BT: torch.Tensor = IDS) -> torch.Tensor:
    """Logits at the given tokens, after the active adapter's prefix."""
    prefix = torch.tensor([prefix_ids(model)] * len(ids_BT), dtype=ids_BT.dtype).reshape(len(ids_BT), -1)
    with torch.no_grad():
        return model.logits(model(torch.cat([prefix, ids_BT], 1)))[:, prefix.shape[1] :]


@case
def test_a_new_adapter_changes_nothing_and_only_it_learns(case):
    before = answers(redrawn())
    model = adapted(case)
    if case not in PROMPTS:
        torch.testing.assert_close(answers(model), before, rtol=1e-5, atol=1e-5)
    with adapters_disabled(model):
        assert torch.equal(answers(model), before)
    assert not torch.allclose(answers(stirred(model)), before, atol=1e-2)
    with adapters_disabled(model):
        assert torch.equal(answers(model), before)
    assert all(".adapters.default." in name for name, weight in model.named_parameters() if weight.requires_grad)


@case
def test_every_part_of_an_adapter_gets_a_gradient(case):
    model = stirred(adapted(case)).train()
    prefix = torch.tensor([prefix_ids(model)] * 2, dtype=torch.int64).reshape(2, -1)
    model.logits(model(torch.cat([prefix, IDS], 1))).square().sum().backward()
    for name, weight in model.named_parameters():
        assert (weight.grad is not None and bool(weight.grad.any())) == weight.requires_grad, name


@case
def test_as_much_is_trained_as_the_formula_says(case):
    method, settings = CASES[case]
    model = adapted(case)
    shapes = []
    for name in parts(model):
        module = redrawn().get_submodule(name)
        output, width = module.weight.shape if hasattr(module, "weight") else (TINY.hidden_size, TINY.hidden_size)
        shapes.append((width, output) if method == "ia3" and name.endswith("down_proj") else (output, width))
    assert num_trained(model) == load_method(method).num_trained(settings, shapes)


@case
def test_a_saved_adapter_comes_back(case, tmp_path):
    model = stirred(adapted(case))
    save_adapter(model, tmp_path, base="base")
    again = load_adapter(redrawn(), tmp_path)
    torch.testing.assert_close(answers(again), answers(model), rtol=1e-5, atol=1e-5)
    save_adapter(again, tmp_path / "twice", base="base")
    assert torch.equal(answers(load_adapter(redrawn(), tmp_path / "twice")), answers(again))
    assert active_adapter(again) == "default"


@pytest.mark.parametrize("case", MERGEABLE)
def test_a_merge_keeps_the_answers_and_is_undone_bit_for_bit(case):
    model = stirred(adapted(case))
    wanted = answers(model)
    merged = merge(model)
    torch.testing.assert_close(answers(model), wanted, rtol=1e-4, atol=1e-4)
    unmerge(model, merged)
    assert torch.equal(answers(model), wanted)
    with adapters_disabled(model):
        assert torch.equal(answers(model), answers(redrawn()))


@pytest.mark.parametrize("case", MERGEABLE)
def test_a_merged_model_is_plain_and_its_weights_can_be_put_back(case, tmp_path):
    model = stirred(adapted(case))
    wanted, keep = answers(model), copy.deepcopy(model)
    plain = merge_adapters(model)
    assert not any(isinstance(module, Place) for module in plain.modules())
    save_model(plain, tmp_path)
    torch.testing.assert_close(answers(load_model(tmp_path)), wanted, rtol=1e-4, atol=1e-4)
    merged = merge(keep)
    remove_adapter(keep, "default")
    unmerge(keep, merged)
    for name, weight in redrawn().named_parameters():
        assert torch.equal(weight, keep.get_parameter(name)), name
    assert all(weight.requires_grad for weight in keep.parameters())


@pytest.mark.parametrize("case", sorted(set(CASES) - set(MERGEABLE)))
def test_what_is_no_change_of_weights_is_not_merged(case):
    with pytest.raises(ConfigError, match=f"method {CASES[case][0]} is no change of weights and cannot be merged"):
        merge(adapted(case))


@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(["dora", "ia3", "ptuning", "adapter"], 2)])
def test_adapters_of_several_methods_share_a_model(first, second):
    alone = {name: stirred(adapted(name)) for name in (first, second)}
    model = adapted(first, adapter="one")
    stirred(model)
    adapted(second, model, adapter="two")
    stirred(model)
    assert adapter_names(model) in (["one", "two"], ["two", "one"])
    torch.testing.assert_close(answers(model), answers(alone[second]))
    learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
    with using(model, "one"):
        torch.testing.assert_close(answers(model), answers(alone[first]))
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == learning
    activate(model, "one")
    torch.testing.assert_close(answers(model), answers(alone[first]))
    assert all(".adapters.one." in name for name, weight in model.named_parameters() if weight.requires_grad)
    remove_adapter(model, "two")
    torch.testing.assert_close(answers(model), answers(alone[first]))
    remove_adapter(model, "one")
    assert torch.equal(answers(model), answers(redrawn()))
    assert not any(isinstance(module, Place) for module in model.modules())
    assert all(weight.requires_grad for weight in model.parameters())


def test_virtual_tokens_are_told_apart_and_packed_sequences_each_have_theirs():
    model = adapted("prompt", adapter="one")
    adapted("ptuning", model, adapter="two")
    assert (prefix_ids(model, "one"), prefix_ids(model)) == ([*range(97, 102)], [*range(102, 107)])
    row = [*prefix_ids(model), 5, 17, 3, *prefix_ids(model), 60, 1]
    ids, segments = torch.tensor([row]), torch.tensor([[0] * 8 + [1] * 7])
    packed = model(ids, torch.tensor([[*range(8), *range(7)]]), segments)
    torch.testing.assert_close(packed[:, :8], model(ids[:, :8]))
    torch.testing.assert_close(packed[:, 8:], model(ids[:, 8:]), rtol=1e-4, atol=1e-4)
    with adapters_disabled(model), pytest.raises(InputError, match="virtual tokens of a prompt, but the adapter is"):
        model(ids)


def test_ranks_and_alphas_of_their_own_follow_patterns():
    settings = LoraSettings(
        rank=2, alpha=4.0, rank_pattern={r"layers\.1\.mlp\.up_proj": 5}, alpha_pattern={"q_proj": 1.0}
    )
    found = parts(add_adapter(redrawn(), "lora", settings))
    assert {name for name, part in found.items() if part.rank == 5} == {"model.layers.1.mlp.up_proj"}
    assert {name.rsplit(".", 1)[-1] for name, part in found.items() if part.alpha == 1.0} == {"q_proj"}
    with pytest.raises(ConfigError, match=r"pattern '\(' is no regular expression"):
        add_adapter(redrawn(), "lora", dataclasses.replace(settings, rank_pattern={"(": 3}))


@pytest.mark.parametrize("method", ["lora", "dora", "adapter"])
def test_dropout_acts_in_training_only(method):
    kind = BottleneckSettings(dropout=0.5) if method == "adapter" else LoraSettings(rank=4, dropout=0.5)
    model = stirred(add_adapter(redrawn(), method, kind))
    assert torch.equal(answers(model), answers(model))
    model.train()
    torch.manual_seed(0)
    assert not torch.allclose(answers(model), answers(model))


def test_whole_modules_learn_beside_an_adapter_and_are_merged_with_it(tmp_path):
    settings = LoraSettings(rank=2, modules_to_save=("lm_head", "model.norm", "embed_tokens"))
    model = stirred(add_adapter(redrawn(), "lora", settings))
    assert not torch.allclose(answers(model), answers(redrawn()), atol=1e-2)
    with adapters_disabled(model):
        assert torch.equal(answers(model), answers(redrawn()))
    save_adapter(model, tmp_path, base="x")
    again = load_adapter(redrawn(), tmp_path)
    assert torch.equal(answers(again), answers(model))
    wanted = answers(model)
    merged = merge(model)
    torch.testing.assert_close(answers(model), wanted, rtol=1e-3, atol=1e-3)
    unmerge(model, merged)
    assert torch.equal(answers(model), wanted)
    tied = redrawn(dataclasses.replace(TINY, tied_embeddings=True))
    with pytest.raises(ConfigError, match=r"modules_to_save=embed_tokens: input and output embedding of this"):
        add_adapter(tied, "lora", dataclasses.replace(settings, modules_to_save=("embed_tokens",)))
    assert not any(isinstance(module, Place) for module in tied.modules())
    assert all(weight.requires_grad for weight in tied.parameters())


def test_a_prompt_starts_from_a_text_where_one_is_given():
    settings = PromptSettings(num_tokens=5, init="text", text="ab")
    model = add_adapter(redrawn(), "prompt", settings, encode=lambda text: [ord(c) - 90 for c in text])
    (part,) = parts(model).values()
    assert torch.equal(part(), redrawn().model.embed_tokens.weight[[7, 8, 7, 8, 7]])
    with pytest.raises(ConfigError, match="no tokens to start from"):
        add_adapter(redrawn(), "prompt", settings)
    with pytest.raises(ConfigError, match="give both init=text and a text, or neither"):
        PromptSettings(text="ab")


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_draws_the_same_adapter_whatever_torch_has_drawn(method):
    settings = dict(CASES.values())[method]
    base = redrawn()
    first = add_adapter(redrawn(), method, settings, seed=3)
    torch.manual_seed(11)
    state = torch.get_rng_state()
    second = add_adapter(base, method, settings, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    for name, weight in first.named_parameters():
        assert torch.equal(weight, second.get_parameter(name)), name


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("lora", LoraSettings(targets=("q_porj",)), r"target 'q_porj' matches no linear layer.*did you mean 'q_proj'"),
        ("lora", LoraSettings(targets=("lm_head",)), "target 'lm_head' matches no linear layer"),
        ("ia3", Ia3Settings(targets=("model.layers.7.*",)), r"target 'model.layers.7.\*' matches no linear layer"),
        ("adapter", BottleneckSettings(targets=("attention",)), "target 'attention' matches no block"),
        ("lora", LoraSettings(modules_to_save=("head",)), "target 'head' matches no module with weights"),
    ],
)
def test_a_target_that_chooses_nothing_is_named_and_the_model_stays_as_it_was(method, settings, message):
    model = redrawn()
    with pytest.raises(ConfigError, match=message):
        add_adapter(model, method, settings)
    assert [*model.state_dict()] == [*redrawn().state_dict()]
    assert all(weight.requires_grad for weight in model.parameters())


def test_names_of_adapters_are_checked():
    model = adapted("lora")
    with pytest.raises(ConfigError, match="adapter 'default' is on the model already"):
        adapted("ia3", model)
    with pytest.raises(ConfigError, match=r"adapter name 'a\.b': letters, digits"):
        adapted("ia3", model, adapter="a.b")
    with pytest.raises(ConfigError, match="no adapter 'other' on this model; there are default"):
        activate(model, "other")
    with pytest.raises(ConfigError, match="no adapter 'other' on this model"), using(model, "other"):
        pass
    with pytest.raises(ConfigError, match="another adapter changes this module in another way"):
        add_adapter(adapted("prompt"), "lora", LoraSettings(modules_to_save=("embed_tokens",)), adapter="two")


@case
def test_an_adapter_of_another_model_is_refused_by_name(case, tmp_path):
    save_adapter(adapted(case), tmp_path, base="x")
    other = dataclasses.replace(TINY, hidden_size=40, num_layers=1)
    with pytest.raises(
        ArtifactError, match=r"does not fit this model|this model needs|lacks|this model has no place for"
    ):
        load_adapter(redrawn(other), tmp_path)
