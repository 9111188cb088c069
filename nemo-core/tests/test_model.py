"""The decoder equals transformers', its head keeps no full scores, and packing isolates documents."""

import dataclasses

import pytest
import torch

from nemo_core.checkpoint.folder import load_model, save_model
from nemo_core.config import ModelConfig, RopeConfig
from nemo_core.foundation.errors import ArtifactError, ConfigError, InputError
from nemo_core.model.decoder import Decoder
from nemo_core.model.heads import token_log_probs, token_log_probs_and_entropy

TINY = ModelConfig(
    vocab_size=97, hidden_size=48, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=16, ffn_size=80, max_positions=64
)
LLAMA3 = RopeConfig(
    theta=5e5, kind="llama3", factor=8.0, low_frequency_factor=2.0, high_frequency_factor=6.0, original_positions=32
)
VARIANTS = {
    "grouped": TINY,
    "tied": dataclasses.replace(TINY, tied_embeddings=True),
    "biased": dataclasses.replace(TINY, attention_bias=True, output_bias=True, mlp_bias=True),
    "one key head": dataclasses.replace(TINY, num_kv_heads=1, head_dim=10),
    "llama3 rope": dataclasses.replace(TINY, rope=LLAMA3),
    "linear rope": dataclasses.replace(TINY, rope=RopeConfig(kind="linear", factor=3.0)),
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def redrawn(config: ModelConfig, seed: int = 0) -> Decoder:
    model = Decoder(config, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=draw) * 0.2 + (1.0 if weight.ndim == 1 else 0.0))
    return model.eval()


@pytest.mark.parametrize("name", VARIANTS)
def test_transformers_loads_the_folder_with_equal_logits(tmp_path, name):
    transformers = pytest.importorskip("transformers", reason="the reference implementation is not installed")
    model = redrawn(VARIANTS[name])
    save_model(model, tmp_path)
    reference = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    ids = torch.randint(0, 97, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        difference = (model.logits(model(ids)) - reference(ids).logits).abs().max()
    assert difference <= 5e-5
    reference.save_pretrained(tmp_path / "again")
    back = load_model(tmp_path / "again")
    for (key, ours), (other, theirs) in zip(model.named_parameters(), back.named_parameters()):
        assert key == other
        assert torch.equal(ours, theirs)
    assert back.config.rope == model.config.rope


def test_sharded_folder_round_trip_is_bit_exact(tmp_path, monkeypatch):
    from nemo_core.checkpoint import tensors

    model = redrawn(TINY)
    tensors.write_tensors(tmp_path, dict(model.named_parameters()), max_shard_bytes=20_000)
    save_model(model, tmp_path / "config")
    (tmp_path / "config.json").write_text((tmp_path / "config/config.json").read_text())
    assert len(tensors.tensor_files(tmp_path)) > 3
    for ours, theirs in zip(model.parameters(), load_model(tmp_path).parameters()):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_kv_heads": 3}, r"num_kv_heads=3 does not divide num_heads=4; use one of \[1, 2, 4\]"),
        ({"head_dim": 15}, "head_dim=15 is odd"),
        ({"eos_id": 97}, "eos_id=97 is outside the vocabulary of 97"),
    ],
)
def test_contradicting_configs_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(TINY, **change)


def test_parameters_are_counted():
    for config in VARIANTS.values():
        assert config.num_parameters == sum(p.numel() for p in Decoder(config).parameters())


def test_damaged_folders_are_named(tmp_path):
    from safetensors.torch import load_file, save_file

    model = redrawn(TINY)
    save_model(model, tmp_path)
    path = tmp_path / "model.safetensors"
    whole, weights = path.read_bytes(), load_file(path)
    path.write_bytes(whole[:-100])
    with pytest.raises(ArtifactError, match=r"model.safetensors: truncated or not safetensors"):
        load_model(tmp_path)
    save_file({k: v for k, v in weights.items() if "norm" not in k}, path)
    with pytest.raises(
        ArtifactError, match=r"lacks 7 tensor\(s\) that config.json asks for: model.layers.0.input_layer"
    ):
        load_model(tmp_path)
    save_file({**weights, "extra.weight": torch.zeros(1)}, path)
    with pytest.raises(ArtifactError, match=r"tensor 'extra.weight' has no place"):
        load_model(tmp_path)
    save_file({**weights, "model.norm.weight": torch.zeros(3)}, path)
    with pytest.raises(ArtifactError, match=r"tensor 'model.norm.weight' is \[3\], config.json asks for \[48\]"):
        load_model(tmp_path)
    path.unlink()
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')
    with pytest.raises(ArtifactError, match=r"names gone\.safetensors, which is missing"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["LlamForCausalLM"]}')
    with pytest.raises(ArtifactError, match=r"'LlamForCausalLM' is not supported.*did you mean 'LlamaForCausalLM'"):
        load_model(tmp_path)


def test_log_probs_and_their_gradients_equal_the_plain_formula():
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(37, 16, generator=draw, dtype=torch.float64).float().requires_grad_()
    weight = torch.randn(50, 16, generator=draw).requires_grad_()
    targets = torch.randint(0, 50, (37,), generator=draw)
    pull = torch.randn(37, generator=draw)
    plain = (hidden @ weight.T / 0.7).log_softmax(-1).gather(1, targets[:, None]).squeeze(1)
    expected = torch.autograd.grad(plain @ pull, (hidden, weight))
    ours, entropy = token_log_probs_and_entropy(hidden, weight, targets, chunk=8, temperature=0.7)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(torch.autograd.grad(ours @ pull, (hidden, weight)), expected, rtol=1e-4, atol=1e-5)
    reference = torch.distributions.Categorical(logits=hidden @ weight.T / 0.7).entropy()
    torch.testing.assert_close(entropy, reference.detach())
    assert token_log_probs(hidden[:0], weight, targets[:0]).shape == (0,)


def test_packed_documents_do_not_see_each_other():
    model = redrawn(TINY)
    first, second = torch.randint(0, 97, (1, 9)), torch.randint(0, 97, (1, 14))
    packed = model(
        torch.cat([first, second], 1),
        positions_BT=torch.cat([torch.arange(9), torch.arange(14)])[None],
        segments_BT=torch.tensor([[0] * 9 + [1] * 14]),
    )
    torch.testing.assert_close(packed[:, :9], model(first), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(packed[:, 9:], model(second), rtol=1e-4, atol=1e-4)


def test_a_sequence_longer_than_the_positions_is_refused():
    with pytest.raises(InputError, match="65 tokens, but the model has 64 positions"):
        Decoder(TINY)(torch.zeros(1, 65, dtype=torch.long))


def test_the_same_seed_draws_the_same_weights():
    for ours, theirs in zip(Decoder(TINY, seed=3).parameters(), Decoder(TINY, seed=3).parameters()):
        assert torch.equal(ours, theirs)


IDS = torch.randint(0, 97, (2, 20), generator=torch.Generator().manual_seed(5))


def adapted(seed: int = 0) -> Decoder:
    from nemo_core.peft.lora import add_lora, lora_layers

    model = add_lora(redrawn(TINY), rank=4, alpha=8.0, targets=("q_proj", "down_proj"), seed=seed)
    with torch.no_grad():
        for layer in lora_layers(model).values():
            layer.lora_B.normal_(generator=torch.Generator().manual_seed(9))
    return model


def test_new_adapter_changes_nothing_and_only_it_is_trained():
    from nemo_core.peft.lora import add_lora

    base = redrawn(TINY)
    before = base(IDS)
    model = add_lora(base, rank=4, alpha=8.0, targets=("q_proj",), seed=0)
    torch.testing.assert_close(model(IDS), before)
    assert {n.rsplit(".", 1)[-1] for n, p in model.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}


def test_disabling_gives_the_base_and_merging_keeps_the_logits():
    from nemo_core.peft.adapter import adapters_disabled
    from nemo_core.peft.merge import merge_adapters

    model = adapted()
    changed = model(IDS)
    with adapters_disabled(model):
        torch.testing.assert_close(model(IDS), redrawn(TINY)(IDS))
    assert (changed - redrawn(TINY)(IDS)).abs().max() > 0.1
    torch.testing.assert_close(merge_adapters(model)(IDS), changed, rtol=1e-4, atol=1e-4)


def test_peft_reads_our_adapter_and_we_read_its(tmp_path):
    peft = pytest.importorskip("peft", reason="the reference implementation is not installed")
    transformers = pytest.importorskip("transformers", reason="the reference implementation is not installed")
    from nemo_core.peft.folder import load_adapter, save_adapter

    save_model(redrawn(TINY), tmp_path / "base")
    model = adapted()
    save_adapter(model, tmp_path / "adapter", base=str(tmp_path / "base"))
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    with torch.no_grad():
        assert (model.logits(model(IDS)) - theirs(IDS).logits).abs().max() <= 5e-5
    theirs.save_pretrained(tmp_path / "again")
    again = load_adapter(load_model(tmp_path / "base"), tmp_path / "again")
    torch.testing.assert_close(again(IDS), model(IDS))


def test_adapter_mistakes_are_named(tmp_path):
    from nemo_core.peft.folder import load_adapter, save_adapter
    from nemo_core.peft.lora import add_lora

    with pytest.raises(ConfigError, match=r"target 'query' matches no linear layer; there are down_proj, gate_proj"):
        add_lora(redrawn(TINY), rank=4, alpha=8.0, targets=("query",), seed=0)
    with pytest.raises(ConfigError, match="rank=0"):
        add_lora(redrawn(TINY), rank=0, alpha=8.0, seed=0)
    with pytest.raises(ArtifactError, match="unmerged adapters"):
        save_model(adapted(), tmp_path)
    save_adapter(adapted(), tmp_path / "adapter", base="x")
    other = redrawn(dataclasses.replace(TINY, ffn_size=96))
    with pytest.raises(ArtifactError, match=r"down_proj.lora_A.weight is \[4, 80\], this model needs \[4, 96\]"):
        load_adapter(other, tmp_path / "adapter")


def test_training_state_comes_back_bit_for_bit(tmp_path):
    from nemo_core.checkpoint.state import load_state, optimizer_tensors, restore_optimizer, save_state

    def step(model, optimizer):
        optimizer.zero_grad()
        model.logits(model(IDS)).square().mean().backward()
        optimizer.step()

    model = redrawn(TINY)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    step(model, optimizer)
    save_state(
        tmp_path / "state", {**dict(model.named_parameters()), **optimizer_tensors(optimizer, model)}, {"step": 1}
    )
    step(model, optimizer)
    tensors, facts = load_state(tmp_path / "state")
    again = Decoder(TINY)
    again.load_state_dict({k: v for k, v in tensors.items() if not k.startswith("optim.")})
    restored = torch.optim.AdamW(again.parameters(), lr=1e-2)
    restore_optimizer(restored, again, tensors)
    step(again.eval(), restored)
    assert facts == {"step": 1}
    for ours, theirs in zip(model.parameters(), again.parameters()):
        assert torch.equal(ours, theirs)
