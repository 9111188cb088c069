"""megatron.core's settings of a training run on GPUs, from ours; pure, so they are tested without a GPU."""

from typing import Any

import torch

from ..parallel.settings import ParallelSettings
from ..train.settings import OptimizerSettings


def pipeline_settings(settings: ParallelSettings) -> dict[str, Any]:
    """Additions to TransformerConfig for its schedules.

    The loss is a sum over tokens, which `finalize_model_grads` divides by their number in the whole batch. Interleaved
    stages keep what they send: freeing it while it is being sent loses it (seen over gloo), 1F1B waits first.
    """
    interleaved = settings.stages_per_rank > 1
    return {
        "calculate_per_token_loss": True,
        "deallocate_pipeline_outputs": settings.pipeline > 1 and not interleaved,
        "overlap_p2p_comm": interleaved,
        "batch_p2p_comm": not interleaved,
        **recompute_settings(settings),
    }


def recompute_settings(settings: ParallelSettings) -> dict[str, Any]:
    """Which activations the backward pass computes again: those of attention's core, or of whole layers."""
    if settings.recompute == "selective":
        return {"recompute_granularity": "selective", "recompute_modules": ["core_attn"]}
    if settings.recompute == "full":
        return {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
    return {}


def gradient_settings(*, copies: int, bucket_mib: float) -> dict[str, Any]:
    """DistributedDataParallelConfig: gradients in float32, sent while others are computed where there are copies."""
    return {
        "grad_reduce_in_fp32": True,
        "overlap_grad_reduce": copies > 1,
        "overlap_param_gather": copies > 1,
        "use_distributed_optimizer": True,
        "bucket_size": int(bucket_mib * 2**20) // 4,
        "average_in_collective": False,
    }


def optimizer_settings(
    settings: OptimizerSettings, *, learning_rate: float, dtype: torch.dtype, copies: int, fp8_recipe: str | None
) -> dict[str, Any]:
    """OptimizerConfig: AdamW whose moments and float32 weights are shared out over the copies of the model."""
    return {
        "optimizer": "adam",
        "lr": learning_rate,
        "weight_decay": settings.weight_decay,
        "adam_beta1": settings.beta1,
        "adam_beta2": settings.beta2,
        "adam_eps": 1e-8,
        "decoupled_weight_decay": True,
        "clip_grad": settings.max_grad_norm,
        "bf16": dtype is torch.bfloat16,
        "params_dtype": dtype,
        "use_distributed_optimizer": True,
        "overlap_param_gather": copies > 1,
        "fp8_recipe": fp8_recipe,
    }
