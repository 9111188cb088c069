"""Lays a model out over the processes of a run."""

import torch
import torch.distributed as dist

from ..checkpoint.mapping.rules import Read
from ..model.decoder import Decoder
from ..train.device import Compute
from ..train.weights import trained_weights
from ..train.world import World
from .buckets import Buckets
from .expert import names_of_experts, share_out_experts
from .filling import fill_buffers, fill_weights
from .fsdp import shard_weights
from .gather import blueprint_of
from .mesh import Layout, lay_out
from .model import ParallelModel
from .pipeline import Between, Pipeline, Stages, keep_stages, learning_stages, own_stages
from .plan import make_plan
from .recompute import layers_of, recompute_layers
from .settings import ParallelSettings
from .tensor import split_tensors

EMBEDDING = "model.embed_tokens.weight"


def parallelize(
    model: Decoder, settings: ParallelSettings, world: World, compute: Compute, *, weights: Read | None = None
) -> ParallelModel:
    """Cut `model` as `settings` say, in place; every process calls it with the same model.

    That is a whole model, or with `weights` (canonical tensors by name) one without numbers: each process then never
    has more than what it will hold and one whole tensor.
    Order matters: experts and stages first, then tensors, then recomputing and compiling, then sharding around it all.
    Raises ConfigError where the plan does not fit the model or the number of processes.
    """
    plan = make_plan(settings, model.config, world.size)
    layout = lay_out(plan, world, device_type=compute.device.type)
    if weights is not None:
        fill_buffers(model, weights)
    blueprint = model if plan.is_plain else blueprint_of(model)
    result = ParallelModel(layout, model, blueprint)
    if plan.expert > 1:
        share_out_experts(model, layout.group("expert"))
    stages = cut_stages(result, settings) if plan.pipeline > 1 else None
    if plan.tensor > 1:
        assert layout.weights is not None
        split_tensors(model, layout.weights["tensor"], experts=layout.experts and layout.experts["tensor"])
    result.expert_names = names_of_experts(model)
    recompute_and_compile(model, settings)
    if stages is not None:
        kind, group = settings.schedule, layout.group("pipeline")
        dtype = compute.dtype if plan.fsdp > 1 else next(model.parameters()).dtype  # FSDP gathers weights in dtype
        result.pipeline = Pipeline(model, stages, group, kind=kind, between=Between(compute.device, dtype))
    if plan.fsdp > 1:
        share_out_weights(result, settings, compute.dtype)
    if weights is not None:
        fill_weights(model, result.roots, weights, device=compute.device)
    if plan.num_copies > 1 and plan.fsdp == 1:
        result.buckets = make_buckets(result, settings)
    return result


def recompute_and_compile(model: Decoder, settings: ParallelSettings) -> None:
    """Make each layer compute its activations again in the backward pass, or compile it, as `settings` say."""
    recompute_layers(model, settings.recompute)
    if settings.compile:
        for layer in layers_of(model):
            layer.compile()


def cut_stages(result: ParallelModel, settings: ParallelSettings) -> Stages:
    """Keep this process's stages of the model; the embedding is kept at both ends where it is the head too."""
    plan, layout, model = result.layout.plan, result.layout, result.model
    rank = layout.rank("pipeline")
    num_stages = plan.pipeline * settings.stages_per_rank
    numbers = own_stages(rank, plan.pipeline, settings.stages_per_rank)
    learns = learning_stages(model, num_stages)
    both_ends_learn = model.config.tied_embeddings and model.head_weight.requires_grad
    views = keep_stages(model, numbers, num_stages)
    if both_ends_learn:
        result.end_stages = end_stage_group(layout)
        if rank in (0, plan.pipeline - 1):
            result.shared_by_end_stages = frozenset({EMBEDDING})
        if rank == plan.pipeline - 1:
            result.mirrored = frozenset({EMBEDDING})
    return Stages(views, learns)


def end_stage_group(layout: Layout) -> dist.ProcessGroup | None:
    """This process's group of first and last stage; made by all processes, for all pipelines."""
    size, stage_size = layout.plan.size, layout.stage_size()
    mine = None
    for first in range(stage_size):
        members = [first, size - stage_size + first]
        group = dist.new_group(members)
        if layout.world.rank in members:
            mine = group
    return mine


def share_out_weights(result: ParallelModel, settings: ParallelSettings, dtype: torch.dtype) -> None:
    """Let the processes of a copy of the model each keep a share of every weight."""
    layout = result.layout
    for root in result.roots:
        shard_weights(root, layout.shards, dtype=dtype, reshard=settings.reshard, experts=layout.expert_shards)


def make_buckets(result: ParallelModel, settings: ParallelSettings) -> tuple[Buckets, ...]:
    """What sums the gradients of experts over those that hold the same ones, and the others' over all."""
    layout, max_bytes = result.layout, settings.bucket_mib * 2**20
    trained = dict(trained_weights(result.model))
    own = [weight for name, weight in trained.items() if name in result.expert_names]
    rest = [weight for name, weight in trained.items() if name not in result.expert_names]
    made = [Buckets(rest, layout.group("copy"), max_bytes=max_bytes)]
    if layout.plan.expert > 1 and layout.plan.expert_sizes[0] > 1:
        made.append(Buckets(own, layout.group("expert_copy"), max_bytes=max_bytes))
    return tuple(made)
