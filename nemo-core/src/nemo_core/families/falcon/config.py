"""``config.json`` of FalconForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig, NormConfig, Residual
from ...foundation.errors import ArtifactError
from ..hf import ACTIVATION_NAMES, HFConfig, read_tokens
from ..rope import read_rope, write_rope

NORM = NormConfig(kind="layer", bias=True)


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config of any of Falcon's three forms."""
    hf.fixed(alibi=False)
    hidden, heads = hf.need("hidden_size", "n_embed"), hf.need("num_attention_heads", "n_head")
    bias = hf.flag("bias")
    return ModelConfig(
        family="falcon",
        vocab_size=hf.need("vocab_size"),
        hidden_size=hidden,
        num_layers=hf.need("num_hidden_layers", "n_layer"),
        num_heads=heads,
        num_kv_heads=read_kv_heads(hf, heads),
        head_dim=hidden // heads,
        ffn_size=hf.get("ffn_hidden_size") or 4 * hidden,
        max_positions=hf.get("max_position_embeddings", 2048),
        **read_tokens(hf, bos=11, eos=11),
        norm=NORM,
        norm_eps=hf.get("layer_norm_epsilon", 1e-5),
        rope=read_rope(hf),
        residual=read_residual(hf),
        attention_bias=bias,
        output_bias=bias,
        mlp_bias=bias,
        gated_mlp=False,
        activation=hf.activation("activation", default="gelu"),
        tied_embeddings=hf.flag("tie_word_embeddings", True),
    )


def read_kv_heads(hf: HFConfig, heads: int) -> int:
    """Key heads: as said in the new form, one or all in the old ones."""
    if hf.get("new_decoder_architecture") or not hf.get("multi_query", True):
        return int(hf.get("num_kv_heads") or heads)
    return 1


def read_residual(hf: HFConfig) -> Residual:
    """How attention and feed-forward are joined; ArtifactError for a form that transformers does not compute either."""
    new, parallel = hf.flag("new_decoder_architecture"), hf.flag("parallel_attn", True)
    norms = hf.get("num_ln_in_parallel_attn") or (2 if new else 1)
    if new and not parallel:
        raise ArtifactError(f"{hf.place}: parallel_attn=false contradicts new_decoder_architecture=true")
    if not parallel:
        return "sequential"
    if not new and norms == 2:
        raise ArtifactError(f"{hf.place}: num_ln_in_parallel_attn=2 needs new_decoder_architecture=true")
    return "parallel" if norms == 2 else "parallel_shared_norm"


def is_new(config: ModelConfig) -> bool:
    """Whether only the new form can say it: two norms side by side, or several key heads but fewer than queries."""
    grouped = config.num_kv_heads not in (1, config.num_heads)
    return config.residual == "parallel" or grouped


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a Falcon folder."""
    return {
        "model_type": "falcon",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_kv_heads": config.num_kv_heads,
        "ffn_hidden_size": config.ffn_size,
        "max_position_embeddings": config.max_positions,
        **write_rope(config.rope),
        "activation": ACTIVATION_NAMES[config.activation],
        "layer_norm_epsilon": config.norm_eps,
        "new_decoder_architecture": is_new(config),
        "multi_query": config.num_kv_heads == 1,
        "parallel_attn": config.residual != "sequential",
        "num_ln_in_parallel_attn": {"parallel": 2, "parallel_shared_norm": 1}.get(config.residual),
        "bias": config.attention_bias,
        "alibi": False,
        "hidden_dropout": 0.0,
    }
