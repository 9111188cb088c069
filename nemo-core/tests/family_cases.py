"""Tiny checkpoints of every family, as transformers makes them; each weight, norm and bias drawn anew."""

from pathlib import Path
from typing import Any

import torch

SHAPE = {
    "vocab_size": 67,
    "hidden_size": 32,
    "intermediate_size": 44,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
WIDE = {"head_dim": 12}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e4,
    "factor": 8.0,
    "low_freq_factor": 2.0,
    "high_freq_factor": 6.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16}
LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 3.0}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [1.0, 2.0, 3.0, 4.0],
    "original_max_position_embeddings": 16,
}
EXPERTS = {"num_experts_per_tok": 2}
GPT2 = {
    "vocab_size": 67,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "resid_pdrop": 0.0,
}
GEMMA = {**SHAPE, **WIDE, "query_pre_attn_scalar": 10, "sliding_window": 5}
FALCON = {name: value for name, value in SHAPE.items() if name not in ("intermediate_size", "num_key_value_heads")}
NEOX = {name: value for name, value in SHAPE.items() if name != "num_key_value_heads"}
LATENT = {
    **SHAPE,
    "num_key_value_heads": 4,
    "kv_lora_rank": 10,
    "q_lora_rank": 9,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 6,
    "v_head_dim": 7,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 16,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
GROUPS = {"n_group": 4, "topk_group": 2}

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("llama", "LlamaForCausalLM", SHAPE),
    "llama, tied, odd vocabulary, wide heads": (
        "llama",
        "LlamaForCausalLM",
        {**SHAPE, **WIDE, "vocab_size": 71, "tie_word_embeddings": True},
    ),
    "llama, biases, one key head": (
        "llama",
        "LlamaForCausalLM",
        {**SHAPE, "num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True},
    ),
    "llama, llama3 rope, several ends": (
        "llama",
        "LlamaForCausalLM",
        {**SHAPE, "rope_parameters": LLAMA3, "eos_token_id": [2, 5, 7]},
    ),
    "llama, linear rope": ("llama", "LlamaForCausalLM", {**SHAPE, "rope_parameters": LINEAR}),
    "llama, dynamic rope": (
        "llama",
        "LlamaForCausalLM",
        {**SHAPE, "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
    ),
    "llama, yarn": ("llama", "LlamaForCausalLM", {**SHAPE, "rope_parameters": YARN}),
    "llama, yarn, its own betas and factor": (
        "llama",
        "LlamaForCausalLM",
        {
            **SHAPE,
            "rope_parameters": {**YARN, "beta_fast": 4.0, "beta_slow": 2.0, "attention_factor": 1.3, "truncate": False},
        },
    ),
    "llama, gelu": ("llama", "LlamaForCausalLM", {**SHAPE, "hidden_act": "gelu"}),
    "mistral, window": ("mistral", "MistralForCausalLM", {**SHAPE, "sliding_window": 6}),
    "mistral, no window, wide heads": ("mistral", "MistralForCausalLM", {**SHAPE, **WIDE, "sliding_window": None}),
    "mixtral": ("mixtral", "MixtralForCausalLM", {**SHAPE, **EXPERTS, "num_local_experts": 5}),
    "mixtral, window, tied": (
        "mixtral",
        "MixtralForCausalLM",
        {**SHAPE, **EXPERTS, "num_local_experts": 4, "sliding_window": 7, "tie_word_embeddings": True},
    ),
    "qwen2, tied": ("qwen2", "Qwen2ForCausalLM", {**SHAPE, "tie_word_embeddings": True}),
    "qwen2, window in the last layers": (
        "qwen2",
        "Qwen2ForCausalLM",
        {**SHAPE, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 2},
    ),
    "qwen2, yarn": ("qwen2", "Qwen2ForCausalLM", {**SHAPE, "rope_parameters": YARN}),
    "qwen3": ("qwen3", "Qwen3ForCausalLM", {**SHAPE, **WIDE}),
    "qwen3, biases, tied, window": (
        "qwen3",
        "Qwen3ForCausalLM",
        {
            **SHAPE,
            "head_dim": 8,
            "attention_bias": True,
            "tie_word_embeddings": True,
            "use_sliding_window": True,
            "sliding_window": 6,
            "max_window_layers": 1,
        },
    ),
    "qwen3_moe": (
        "qwen3_moe",
        "Qwen3MoeForCausalLM",
        {**SHAPE, **WIDE, **EXPERTS, "num_experts": 6, "moe_intermediate_size": 20, "norm_topk_prob": True},
    ),
    "qwen3_moe, dense layers, weights not normalised": (
        "qwen3_moe",
        "Qwen3MoeForCausalLM",
        {
            **SHAPE,
            **WIDE,
            **EXPERTS,
            "num_experts": 6,
            "moe_intermediate_size": 20,
            "norm_topk_prob": False,
            "mlp_only_layers": [1],
        },
    ),
    "gemma2": ("gemma2", "Gemma2ForCausalLM", GEMMA),
    "gemma2, untied, no caps, biases": (
        "gemma2",
        "Gemma2ForCausalLM",
        {
            **GEMMA,
            "tie_word_embeddings": False,
            "attention_bias": True,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
        },
    ),
    "gemma2, low caps": (
        "gemma2",
        "Gemma2ForCausalLM",
        {**GEMMA, "attn_logit_softcapping": 1.5, "final_logit_softcapping": 2.5},
    ),
    "gemma3": ("gemma3", "Gemma3ForCausalLM", {**GEMMA, "num_hidden_layers": 7}),
    "gemma3, short pattern, scaled": (
        "gemma3",
        "Gemma3ForCausalLM",
        {
            **GEMMA,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 500.0},
            },
        },
    ),
    "nemotron": ("nemotron", "NemotronForCausalLM", SHAPE),
    "nemotron, biases, wide heads, three quarters turned": (
        "nemotron",
        "NemotronForCausalLM",
        {**SHAPE, "head_dim": 16, "partial_rotary_factor": 0.75, "attention_bias": True, "mlp_bias": True},
    ),
    "phi3": ("phi3", "Phi3ForCausalLM", SHAPE),
    "phi3, longrope": (
        "phi3",
        "Phi3ForCausalLM",
        {**SHAPE, "rope_parameters": LONGROPE, "original_max_position_embeddings": 16},
    ),
    "phi3, window, half turned, tied": (
        "phi3",
        "Phi3ForCausalLM",
        {**SHAPE, "sliding_window": 6, "partial_rotary_factor": 0.5, "tie_word_embeddings": True},
    ),
    "starcoder2": ("starcoder2", "Starcoder2ForCausalLM", SHAPE),
    "starcoder2, no biases, untied, window": (
        "starcoder2",
        "Starcoder2ForCausalLM",
        {**SHAPE, "use_bias": False, "tie_word_embeddings": False, "sliding_window": 5},
    ),
    "falcon, one key head": ("falcon", "FalconForCausalLM", {**FALCON, "multi_query": True}),
    "falcon, all key heads, in sequence, biases": (
        "falcon",
        "FalconForCausalLM",
        {**FALCON, "multi_query": False, "parallel_attn": False, "bias": True},
    ),
    "falcon, new, two norms, untied": (
        "falcon",
        "FalconForCausalLM",
        {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2, "tie_word_embeddings": False},
    ),
    "falcon, new, one norm": (
        "falcon",
        "FalconForCausalLM",
        {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
    ),
    "gpt2": ("gpt2", "GPT2LMHeadModel", GPT2),
    "gpt2, untied, other width": (
        "gpt2",
        "GPT2LMHeadModel",
        {**GPT2, "n_inner": 50, "tie_word_embeddings": False, "activation_function": "relu2"},
    ),
    "deepseek_v3": ("deepseek_v3", "DeepseekV3ForCausalLM", {**LATENT, **GROUPS}),
    "deepseek_v3, yarn, direct queries, biases": (
        "deepseek_v3",
        "DeepseekV3ForCausalLM",
        {
            **LATENT,
            **GROUPS,
            "q_lora_rank": None,
            "attention_bias": True,
            "n_shared_experts": 2,
            "rope_parameters": {**YARN, "mscale": 1.0, "mscale_all_dim": 0.8},
        },
    ),
    "deepseek_v2": ("deepseek_v2", "DeepseekV2ForCausalLM", LATENT),
    "deepseek_v2, grouped": (
        "deepseek_v2",
        "DeepseekV2ForCausalLM",
        {**LATENT, **GROUPS, "topk_method": "group_limited_greedy", "routed_scaling_factor": 16.0, "q_lora_rank": None},
    ),
    "olmo2": ("olmo2", "Olmo2ForCausalLM", SHAPE),
    "olmo2, biases, tied": (
        "olmo2",
        "Olmo2ForCausalLM",
        {**SHAPE, "attention_bias": True, "tie_word_embeddings": True},
    ),
    "gpt_neox": ("gpt_neox", "GPTNeoXForCausalLM", NEOX),
    "gemma": ("gemma", "GemmaForCausalLM", {**SHAPE, **WIDE}),
    "gemma, untied, biases, silu": (
        "gemma",
        "GemmaForCausalLM",
        {**SHAPE, "head_dim": 8, "tie_word_embeddings": False, "attention_bias": True, "hidden_act": "silu"},
    ),
    "olmo3": ("olmo3", "Olmo3ForCausalLM", {**SHAPE, "num_hidden_layers": 5, "sliding_window": 6}),
    "olmo3, yarn where there is no window, tied": (
        "olmo3",
        "Olmo3ForCausalLM",
        {
            **SHAPE,
            "tie_word_embeddings": True,
            "attention_bias": True,
            "layer_types": ["sliding_attention", "full_attention", "full_attention"],
            "sliding_window": 5,
            "rope_parameters": {
                "full_attention": {**YARN, "attention_factor": 1.2},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
    ),
    "qwen2_moe": (
        "qwen2_moe",
        "Qwen2MoeForCausalLM",
        {
            **SHAPE,
            **EXPERTS,
            "num_experts": 6,
            "moe_intermediate_size": 20,
            "shared_expert_intermediate_size": 28,
        },
    ),
    "qwen2_moe, dense layers, weights normalised, windows": (
        "qwen2_moe",
        "Qwen2MoeForCausalLM",
        {
            **SHAPE,
            **EXPERTS,
            "num_experts": 5,
            "moe_intermediate_size": 20,
            "shared_expert_intermediate_size": 16,
            "norm_topk_prob": True,
            "decoder_sparse_step": 2,
            "use_sliding_window": True,
            "sliding_window": 6,
            "max_window_layers": 2,
        },
    ),
    "smollm3": ("smollm3", "SmolLM3ForCausalLM", {**SHAPE, "num_hidden_layers": 5}),
    "smollm3, biases, untied, yarn, other layers without positions": (
        "smollm3",
        "SmolLM3ForCausalLM",
        {
            **SHAPE,
            "attention_bias": True,
            "mlp_bias": True,
            "tie_word_embeddings": False,
            "rope_parameters": YARN,
            "no_rope_layers": [0, 1, 1],
            "use_sliding_window": True,
            "sliding_window": 7,
        },
    ),
    "gpt_neox, in sequence, half turned": (
        "gpt_neox",
        "GPTNeoXForCausalLM",
        {**NEOX, "use_parallel_residual": False, "rotary_pct": 0.5, "attention_bias": False},
    ),
}
IDS = torch.randint(3, 67, (2, 24), generator=torch.Generator().manual_seed(0))


def write_case(name: str, folder: Path, **changes: Any) -> Any:
    """Save the checkpoint of a case, with `changes` to its config, with transformers; the model it was saved from."""
    import transformers

    _, architecture, values = CASES[name]
    model_class = getattr(transformers, architecture)
    config = model_class.config_class(**{**values, **changes}, attn_implementation="eager")
    model = model_class(config).eval()
    redraw(model)
    model.save_pretrained(folder)
    return model


@torch.no_grad()
def redraw(model: torch.nn.Module) -> None:
    """Draw every weight, and every persistent buffer, anew."""
    draw = torch.Generator().manual_seed(1)
    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    for tensor in {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}.values():
        spread = 0.2 if tensor.ndim > 1 or id(tensor) in tables else 0.3
        noise = torch.randn(tensor.shape, generator=draw) * spread
        tensor.copy_(noise + (1.0 if tensor.ndim == 1 and tensor.float().mean() > 0.5 else 0.0))


def logits_of(folder: Path, ids: torch.Tensor = IDS) -> torch.Tensor:
    """What transformers answers with the checkpoint of a folder."""
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        return model(ids).logits
