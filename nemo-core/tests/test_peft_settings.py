"""Settings of the peft library that are easily lost: followed, or refused by name."""

import peft
import pytest
import torch
import transformers

from nemo_core.checkpoint.folder import load_model
from nemo_core.foundation.errors import ArtifactError
from nemo_core.peft.folder import load_adapter, save_adapter

from .family_cases import IDS, logits_of, write_case

TASK = {"task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder_of(case):
        if case not in made:
            made[case] = tmp_path_factory.mktemp("base")
            write_case(case, made[case])
        return made[case]

    return folder_of


def adapted(base, folder, **settings):
    """Write an adapter with peft, every trained weight drawn; logits of the model that peft reads from the folder."""
    model = peft.get_peft_model(plain(base), peft.LoraConfig(**TASK, **settings))
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.copy_(torch.randn(weight.shape, generator=draw) * 0.2)
    model.save_pretrained(folder)
    with torch.no_grad():
        return peft.PeftModel.from_pretrained(plain(base), folder).eval()(IDS).logits


def plain(base):
    return transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")


FOLLOWED = {
    "regular expression": ("llama", {"target_modules": r".*\.(q_proj|down_proj)"}),
    "some layers": ("gpt2", {"target_modules": ["c_attn"], "layers_to_transform": [0, 2], "layers_pattern": "h"}),
    "rank of one module": (
        "llama",
        {"target_modules": ["q_proj"], "rank_pattern": {r"^model\.layers\.1\..*q_proj": 2}},
    ),
    "excluded": ("phi3", {"target_modules": "all-linear", "exclude_modules": ["down_proj"], "use_rslora": True}),
    "started from noise": ("llama", {"target_modules": ["v_proj"], "init_lora_weights": "gaussian"}),
    "norm of another name here": (
        "gemma2",
        {"target_modules": ["q_proj"], "modules_to_save": ["post_attention_layernorm"]},
    ),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_peft_wrote_answers_as_it_does_there_and_goes_back(name, folders, tmp_path):
    case, settings = FOLLOWED[name]
    base = folders(case)
    wanted = adapted(base, tmp_path / "theirs", **settings)
    model = load_adapter(load_model(base), tmp_path / "theirs").eval()
    with torch.no_grad():
        assert (model.logits(model(IDS)) - wanted).abs().max() <= 5e-5
    save_adapter(model, tmp_path / "ours", base=str(base))
    with torch.no_grad():
        again = peft.PeftModel.from_pretrained(plain(base), tmp_path / "ours").eval()(IDS).logits
    assert torch.equal(again, wanted)
    assert (wanted - logits_of(base)).abs().max() > 0.1


@pytest.mark.parametrize(
    ("case", "settings", "message"),
    [
        ("llama", {"init_lora_weights": "pissa"}, r"init_lora_weights='pissa' is not supported: .*model's own weights"),
        ("llama", {"init_lora_weights": "olora"}, r"init_lora_weights='olora' .*path_initial_model_for_weight_conv"),
        ("llama", {"bias": "all"}, r"bias='all' is not supported"),
        ("llama", {"trainable_token_indices": [3, 4]}, r"trainable_token_indices=\[3, 4\] is not supported"),
        ("mixtral", {"target_modules": "all-linear"}, r"target_parameters=\[.*\] is not supported"),
        (
            "gpt2",
            {"target_modules": ["c_attn"], "modules_to_save": ["wte"]},
            r"modules_to_save=model.embed_tokens: input and output embedding of this model are one",
        ),
        (
            "gpt2",
            {"target_modules": ["c_attn"], "modules_to_save": ["lm_head"]},
            r"modules_to_save=lm_head: input and output embedding of this model are one",
        ),
    ],
)
def test_settings_that_change_the_answers_otherwise_are_refused_by_name(case, settings, message, folders, tmp_path):
    base = folders(case)
    adapted(base, tmp_path, **{"target_modules": ["q_proj"], **settings})
    with pytest.raises(ArtifactError, match=message):
        load_adapter(load_model(base), tmp_path)
