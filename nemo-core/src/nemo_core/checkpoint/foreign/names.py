"""Names of tensors in checkpoints of Megatron and NeMo, old and new, brought to those of megatron.core's mapping."""

import re

PREFIXES = re.compile(r"^(?:(?:module|model|language_model)\.)+")
IGNORED = re.compile(r"_extra_state\d*(?:/|$)|rotary_pos_emb\.inv_freq$|rotary_emb\.inv_freq$|core_attention\.")
OLDER = {
    "encoder.": "decoder.",
    "self_attention.query_key_value.": "self_attention.linear_qkv.",
    "self_attention.dense.": "self_attention.linear_proj.",
    "mlp.dense_h_to_4h.": "mlp.linear_fc1.",
    "mlp.dense_4h_to_h.": "mlp.linear_fc2.",
    "post_attention_layernorm.": "pre_mlp_layernorm.",
    "self_attention.linear_q_up_proj.layer_norm_": "self_attention.q_layernorm.",
    "self_attention.linear_kv_up_proj.layer_norm_": "self_attention.kv_layernorm.",
}
FUSED = {
    "input_layernorm.": "self_attention.linear_qkv.layer_norm_",
    "pre_mlp_layernorm.": "mlp.linear_fc1.layer_norm_",
}


def is_ignored(name: str) -> bool:
    """Whether a tensor holds no weight: state of Transformer Engine, tables that are computed."""
    return bool(IGNORED.search(name))


def megatron_name(name: str) -> str:
    """The name of a weight as in `megatron.mapping`, whatever wrapped the model and whichever version named it."""
    name = PREFIXES.sub("", name)
    for table in (OLDER, FUSED):
        for former, present in table.items():
            name = re.sub(rf"(^|\.){re.escape(former)}", rf"\g<1>{present}", name)
    return name
