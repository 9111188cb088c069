"""Adapter folders go between this package and the peft library, both ways, with equal logits."""

import copy
import json

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from nemo_core.checkpoint.folder import load_model, save_model
from nemo_core.config import ModelConfig
from nemo_core.foundation.errors import ArtifactError, ConfigError
from nemo_core.inference.adapters import adapter_of_folder, adapter_of_model
from nemo_core.model.decoder import Decoder
from nemo_core.peft.adapter import add_adapter, prefix_ids
from nemo_core.peft.folder import load_adapter, save_adapter
from nemo_core.peft.places import parts
from nemo_core.peft.settings import Ia3Settings, LoraSettings, PromptSettings, PTuningSettings

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
TOLERANCE = 5e-5
OURS = {
    "lora": ("lora", LoraSettings(rank=4, alpha=6.0, targets=("q_proj", "down_proj"))),
    "rslora": ("lora", LoraSettings(rank=4, alpha=6.0, rank_stabilized=True)),
    "patterns": (
        "lora",
        LoraSettings(rank=4, alpha=6.0, rank_pattern={"layers.0.*": 2}, alpha_pattern={r"mlp\.up_proj": 9.0}),
    ),
    "with a head": ("lora", LoraSettings(rank=2, modules_to_save=("lm_head", "norm"))),
    "dora": ("dora", LoraSettings(rank=3, alpha=6.0)),
    "ia3": ("ia3", Ia3Settings()),
    "prompt": ("prompt", PromptSettings(num_tokens=5)),
    "ptuning": ("ptuning", PTuningSettings(num_tokens=5, hidden_size=24)),
    "ptuning-lstm": ("ptuning", PTuningSettings(num_tokens=5, hidden_size=24, encoder="lstm")),
}
TASK = {"task_type": "CAUSAL_LM"}
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj"]
THEIRS = {
    "lora": peft.LoraConfig(r=4, lora_alpha=6, target_modules=LINEARS, **TASK),
    "rslora": peft.LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", use_rslora=True, **TASK),
    "patterns": peft.LoraConfig(
        r=4, lora_alpha=6, target_modules=LINEARS, rank_pattern={"q_proj": 3}, alpha_pattern={"layers.1.*": 5}, **TASK
    ),
    "with a head": peft.LoraConfig(r=4, target_modules=LINEARS, modules_to_save=["lm_head", "norm"], **TASK),
    "dora": peft.LoraConfig(r=4, lora_alpha=6, target_modules=LINEARS, use_dora=True, **TASK),
    "ia3": peft.IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"], **TASK),
    "prompt": peft.PromptTuningConfig(num_virtual_tokens=5, **TASK),
    "ptuning": peft.PromptEncoderConfig(num_virtual_tokens=5, encoder_hidden_size=24, **TASK),
    "ptuning-lstm": peft.PromptEncoderConfig(
        num_virtual_tokens=5, encoder_hidden_size=24, encoder_reparameterization_type="LSTM", **TASK
    ),
}


def moved(model: torch.nn.Module, seed: int) -> None:
    """Move every weight a little; norms and scales are seldom negative then."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.empty_like(weight).normal_(0.0, 0.2, generator=draw))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    model = Decoder(TINY, seed=0)
    moved(model, 0)
    save_model(model, folder)
    return folder


def our_logits(model, ids=IDS):
    prefix = torch.tensor([prefix_ids(model)] * len(ids), dtype=ids.dtype).reshape(len(ids), -1)
    with torch.no_grad():
        return model.logits(model(torch.cat([prefix, ids], 1)))


def their_logits(model, ids=IDS):
    with torch.no_grad():
        return model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def their_base(base):
    return transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


@pytest.mark.parametrize("case", OURS)
def test_peft_answers_as_we_do_with_our_adapter(case, base, tmp_path):
    method, settings = OURS[case]
    model = add_adapter(load_model(base), method, settings, seed=1)
    moved(model, 2)
    save_adapter(model, tmp_path, base=str(base))
    theirs = peft.PeftModel.from_pretrained(their_base(base), tmp_path)
    assert (our_logits(model) - their_logits(theirs)).abs().max() <= TOLERANCE
    assert (our_logits(model)[:, -6:] - our_logits(load_model(base))).abs().max() > 0.1


@pytest.mark.parametrize("case", THEIRS)
def test_we_answer_as_peft_does_with_its_adapter(case, base, tmp_path):
    torch.manual_seed(3)
    theirs = peft.get_peft_model(their_base(base), copy.deepcopy(THEIRS[case]))
    moved(theirs, 4)
    theirs.save_pretrained(tmp_path)
    wanted = their_logits(theirs)
    ours = load_adapter(load_model(base), tmp_path)
    assert (our_logits(ours) - wanted).abs().max() <= TOLERANCE
    save_adapter(ours, tmp_path / "again", base=str(base))
    again = peft.PeftModel.from_pretrained(their_base(base), tmp_path / "again")
    assert (their_logits(again) - wanted).abs().max() <= TOLERANCE


@pytest.mark.parametrize("case", ["ptuning", "ptuning-lstm"])
def test_the_prompt_encoder_is_pefts(case, base):
    torch.manual_seed(5)
    theirs = peft.get_peft_model(their_base(base), copy.deepcopy(THEIRS[case])).prompt_encoder["default"]
    model = add_adapter(load_model(base), *OURS[case])
    (ours,) = parts(model).values()
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(), theirs(torch.arange(5)[None])[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "VERA"}, "peft_type='VERA' is not supported; known: IA3, LORA"),
        ({"bias": "all"}, "bias='all' is not supported"),
        ({"layer_replication": [[0, 2]]}, "layer_replication="),
        ({"r": None}, "lacks|not supported|does not fit"),
    ],
)
def test_what_we_do_not_follow_is_refused_by_name(change, message, base, tmp_path):
    save_adapter(add_adapter(load_model(base), *OURS["lora"]), tmp_path, base=str(base))
    path = tmp_path / "adapter_config.json"
    values = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
    with pytest.raises(ArtifactError, match=message):
        load_adapter(load_model(base), tmp_path)


SMALL = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
ENDS = {"bos_token_id": 1, "eos_token_id": 2}
FAMILIES = {
    "gpt2": transformers.GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=64, n_inner=64, **ENDS),
    "qwen3": transformers.Qwen3Config(**SMALL),
    "gemma2": transformers.Gemma2Config(**SMALL, query_pre_attn_scalar=8, attn_implementation="eager"),
    "gemma3": transformers.Gemma3TextConfig(**SMALL, query_pre_attn_scalar=8),
    "nemotron": transformers.NemotronConfig(**SMALL),
    "starcoder2": transformers.Starcoder2Config(**SMALL),
    "phi3": transformers.Phi3Config(**SMALL, pad_token_id=0),
    "gpt_neox": transformers.GPTNeoXConfig(**{k: v for k, v in SMALL.items() if "key" not in k and k != "head_dim"}),
    "falcon": transformers.FalconConfig(
        vocab_size=97,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_kv_heads=2,
        alibi=False,
        new_decoder_architecture=True,
        **ENDS,
    ),
}
OF_FAMILIES = {
    "lora": ("lora", LoraSettings(rank=3)),
    "lora of queries": ("lora", LoraSettings(rank=3, alpha=7.0, rank_stabilized=True, targets=("q_proj", "down_proj"))),
    "patterns": (
        "lora",
        LoraSettings(rank=4, alpha=6.0, rank_pattern={"layers.0.*": 2}, alpha_pattern={r"self_attn\.v_proj": 9.0}),
    ),
    "dora": ("dora", LoraSettings(rank=3)),
    "dora of values": ("dora", LoraSettings(rank=3, targets=("v_proj", "up_proj"))),
    "ia3": ("ia3", Ia3Settings()),
    "prompt": ("prompt", PromptSettings(num_tokens=4)),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """A folder that transformers wrote, every weight drawn."""
    folder = tmp_path_factory.mktemp(request.param)
    model = transformers.AutoModelForCausalLM.from_config(FAMILIES[request.param])
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.empty_like(weight).normal_(0.0, 0.2, generator=draw))
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("case", OF_FAMILIES)
def test_adapters_of_every_family_go_to_peft_and_back(case, family, tmp_path):
    model = add_adapter(load_model(family), *OF_FAMILIES[case], seed=1)
    moved(model, 2)
    save_adapter(model, tmp_path, base=str(family))
    theirs = peft.PeftModel.from_pretrained(their_base(family), tmp_path)
    wanted = their_logits(theirs)
    assert (our_logits(model)[:, -6:] - wanted[:, -6:]).abs().max() <= 2e-4
    theirs.save_pretrained(tmp_path / "again")
    again = load_adapter(load_model(family), tmp_path / "again")
    torch.testing.assert_close(our_logits(again), our_logits(model))


FUSED = {
    "gpt2": ["c_attn", "c_proj"],
    "phi3": ["qkv_proj", "gate_up_proj"],
    "gpt_neox": ["query_key_value", "dense"],
    "falcon": ["query_key_value", "dense"],
}
THEIRS_OF_FUSED = {
    "lora": lambda targets: peft.LoraConfig(r=4, lora_alpha=6, target_modules=targets, **TASK),
    "patterns": lambda targets: peft.LoraConfig(
        r=4,
        target_modules=targets,
        rank_pattern={targets[0]: 3},
        alpha_pattern={targets[0]: 5},
        use_rslora=True,
        **TASK,
    ),
    "dora": lambda targets: peft.LoraConfig(r=4, lora_alpha=6, target_modules=targets, use_dora=True, **TASK),
    "ia3": lambda targets: peft.IA3Config(target_modules=targets[:1], feedforward_modules=[], **TASK),
}


@pytest.mark.parametrize("case", THEIRS_OF_FUSED)
@pytest.mark.parametrize("family", FUSED, indirect=True)
def test_pefts_adapters_of_fused_modules_are_taken_apart_and_put_together_again(case, family, tmp_path):
    model = load_model(family)
    torch.manual_seed(3)
    theirs = peft.get_peft_model(their_base(family), THEIRS_OF_FUSED[case](FUSED[model.config.family]))
    moved(theirs, 4)
    theirs.save_pretrained(tmp_path)
    wanted = their_logits(theirs)
    ours = load_adapter(model, tmp_path)
    assert (our_logits(ours) - wanted).abs().max() <= 2e-4
    assert (our_logits(load_model(family)) - wanted).abs().max() > 0.01
    save_adapter(ours, tmp_path / "again", base=str(family))
    before = load_file(tmp_path / "adapter_model.safetensors")
    after = load_file(tmp_path / "again" / "adapter_model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor)


def test_requests_can_choose_the_lora_of_a_folder_of_any_family(family, tmp_path):
    model = add_adapter(load_model(family), *OF_FAMILIES["lora"], seed=1)
    moved(model, 2)
    save_adapter(model, tmp_path, base=str(family))
    wanted = adapter_of_model(model, "default")
    found = adapter_of_folder(tmp_path, load_model(family))
    assert found.keys() == wanted.keys()
    for name, weights in wanted.items():
        assert found[name].down_RI.shape == weights.down_RI.shape
        torch.testing.assert_close(found[name].up_OR @ found[name].down_RI, weights.up_OR @ weights.down_RI)


@pytest.mark.parametrize("family", FUSED, indirect=True)
def test_an_adapter_of_a_larger_model_is_named(family, tmp_path):
    model = load_model(family)
    save_adapter(add_adapter(model, *OF_FAMILIES["lora"]), tmp_path, base=str(family))
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    name = next(n for n in tensors if FUSED[model.config.family][0] in n and "lora_B" in n)
    tensors[name] = torch.cat([tensors[name], tensors[name][:1]])
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ArtifactError, match=r"does not fit this model: .*lora_B.weight has \d+ rows, this model's has"):
        load_adapter(load_model(family), tmp_path)


@pytest.mark.parametrize("family", FUSED, indirect=True)
def test_what_only_one_part_of_a_fused_module_could_have_is_named(family, tmp_path):
    model = load_model(family)
    add_adapter(model, "lora", LoraSettings(rank=2, modules_to_save=("k_proj",), targets=("o_proj",)))
    with pytest.raises(
        ConfigError, match=r"modules_to_save=.*k_proj: folders of family '\w+' keep it in .*(attn|qkv|key)"
    ):
        save_adapter(model, tmp_path, base=str(family))
    model = add_adapter(load_model(family), "ia3", Ia3Settings(targets=("k_proj",), feedforward=("k_proj",)))
    with pytest.raises(ConfigError, match=r"k_proj: folders keep it in .* IA3 cannot scale the inputs of each there"):
        save_adapter(model, tmp_path, base=str(family))
