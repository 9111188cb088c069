"""``config.json`` of DeepseekV2ForCausalLM, both ways."""

import dataclasses
from typing import Any

from ...config import ModelConfig
from ...foundation.errors import ArtifactError
from ..deepseek_v3.config import read_experts, read_latent, write_experts, write_latent
from ..hf import HFConfig

EXPERTS = {"n_routed_experts": 64, "num_experts_per_tok": 0, "moe_intermediate_size": 1407, "first_k_dense_replace": 0}
METHODS = ("greedy", "group_limited_greedy")


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; weights of the chosen experts are not normalised, as in transformers."""
    hf.fixed(moe_layer_freq=1, scoring_func="softmax", norm_topk_prob=False, mlp_bias=False)
    hf.need("num_experts_per_tok")
    method = hf.get("topk_method", "greedy")
    if method not in METHODS:
        raise ArtifactError(f"{hf.place}: topk_method={method!r} is not representable; known: {', '.join(METHODS)}")
    grouped = method == "group_limited_greedy"
    experts = dataclasses.replace(
        read_experts(hf, EXPERTS, shared=2),
        normalize=False,
        scale=hf.get("routed_scaling_factor", 1.0),
        groups=hf.need("n_group") if grouped else 1,
        top_groups=hf.need("topk_group") if grouped else 1,
        group_best=1 if grouped else 2,
    )
    return ModelConfig(family="deepseek_v2", **read_latent(hf), moe=experts)


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a DeepSeek V2 folder."""
    grouped = config.moe is not None and config.moe.groups > 1
    return {
        "model_type": "deepseek_v2",
        **write_latent(config),
        **write_experts(config),
        "topk_method": METHODS[grouped],
        "scoring_func": "softmax",
    }
