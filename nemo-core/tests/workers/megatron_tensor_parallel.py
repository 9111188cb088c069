"""One of two processes that hold a megatron model together; the first writes down what was found."""

import dataclasses
import json
import sys
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from megatron.core import dist_checkpointing
from redrawn import redrawn

warnings.filterwarnings("ignore")

from nemo_core.checkpoint.foreign.source import MegatronSource  # noqa: E402
from nemo_core.checkpoint.foreign.stacked import StackedFolder, stacked_tensors  # noqa: E402
from nemo_core.checkpoint.foreign.torch_dist import write_torch_dist  # noqa: E402
from nemo_core.config import MLAConfig, ModelConfig, MoEConfig, NormConfig, RopeConfig  # noqa: E402
from nemo_core.megatron.collectives import sum_shared_weights  # noqa: E402
from nemo_core.megatron.degrees import Degrees  # noqa: E402
from nemo_core.megatron.distributed_checkpoint import load_distributed, save_distributed, sharded_weights  # noqa: E402
from nemo_core.megatron.model import MegatronDecoder  # noqa: E402
from nemo_core.megatron.parallel import process_groups  # noqa: E402
from nemo_core.megatron.weights import canonical_gradients, canonical_weights, load_weights  # noqa: E402

TINY = ModelConfig(
    vocab_size=67, hidden_size=32, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=12, ffn_size=40, max_positions=48
)
LATENT = {
    "num_kv_heads": 4,
    "head_dim": 14,
    "mla": MLAConfig(kv_rank=11, q_rank=9, plain_dim=8, rotary_dim=6, value_dim=7),
}
VARIANTS = {
    "llama": {},
    "tied, biases": {"tied_embeddings": True, "attention_bias": True, "output_bias": True, "mlp_bias": True},
    "gpt": {
        "norm": NormConfig(kind="layer", bias=True),
        "rope": None,
        "gated_mlp": False,
        "activation": "gelu_tanh",
        "mlp_bias": True,
    },
    "sandwich": {
        "norm": NormConfig(zero_centered=True, placement="sandwich"),
        "window": 5,
        "layer_kinds": ("sliding", "full"),
        "local_rope": RopeConfig(theta=100.0),
        "attention_softcap": 3.0,
        "logit_softcap": 5.0,
        "embedding_scale": 5.65,
        "qk_norm": "head",
    },
    "norms of projections": {"qk_norm": "projection", "norm": NormConfig(placement="post")},
    "latent attention": LATENT,
    "latent attention, experts": {
        **LATENT,
        "mla": MLAConfig(kv_rank=11, plain_dim=8, rotary_dim=6, value_dim=17),
        "rope": RopeConfig(kind="yarn", factor=4.0, original_positions=16, mscale=1.0, mscale_all=0.6),
        "moe": MoEConfig(
            num_experts=8,
            top_k=3,
            ffn_size=24,
            score="sigmoid",
            correction_bias=True,
            groups=4,
            top_groups=2,
            shared_ffn_size=40,
            shared_gate=True,
            dense_layers=(0,),
        ),
    },
    "experts": {"moe": MoEConfig(num_experts=5, top_k=2, ffn_size=24), "qk_norm": "head"},
    "parallel": {"norm": NormConfig(kind="layer", bias=True), "residual": "parallel", "output_bias": True},
}
IDS = torch.randint(0, 67, (2, 20), generator=torch.Generator().manual_seed(0))


def largest(pairs) -> float:
    return max(float((one - other).abs().max()) for one, other in pairs)


def look(name: str, folder: Path, degrees: Degrees) -> dict[str, float | bool]:
    native = redrawn(dataclasses.replace(TINY, **VARIANTS[name]))
    weights = native.state_dict()
    shared = MegatronDecoder(native.config, degrees=degrees).eval()
    load_weights(shared, weights.__getitem__)
    ours, theirs = native.logits(native(IDS)), shared.logits(shared(IDS))
    factors = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2))
    (ours * factors).sum().backward()
    (theirs * factors).sum().backward()
    sum_shared_weights(shared, norms_by_head=native.config.qk_norm == "head")
    trained = dict(native.named_parameters())
    gradients = [(found, trained[key].grad) for key, found in canonical_gradients(shared)]
    back = dict(canonical_weights(shared))
    save_distributed(shared, folder / name)
    other = MegatronDecoder(native.config, degrees=degrees)
    load_distributed(other, folder / name)
    written = folder / f"{name} written by us"
    if dist.get_rank() == 0:
        write_torch_dist(written, stacked_tensors(native.config, weights.__getitem__), common={})
    dist.barrier()
    theirs_loaded = dist_checkpointing.load(
        sharded_weights(MegatronDecoder(native.config, degrees=degrees)), str(written)
    )
    read = dict(MegatronSource(StackedFolder(folder / name), native.config))
    return {
        "logits": largest([(ours, theirs)]),
        "gradients": largest(gradients),
        "weights_equal": back.keys() == weights.keys() and all(torch.equal(back[key], weights[key]) for key in back),
        "loaded_equal": all(torch.equal(a, b) for a, b in zip(shared.parameters(), other.parameters(), strict=True)),
        "shards_differ": shared.gpt.embedding.word_embeddings.weight.shape[0] == 34,
        "read_equal": read.keys() == weights.keys() and all(torch.equal(read[key], weights[key]) for key in read),
        "theirs_equal": all(torch.equal(theirs_loaded[key], own) for key, own in shared.gpt.named_parameters()),
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    degrees = Degrees(tensor=2)
    with process_groups(degrees):
        found = {name: look(name, folder, degrees) for name in VARIANTS}
    if dist.get_rank() == 0:
        (folder / "found.json").write_text(json.dumps(found))
    dist.destroy_process_group()


main(Path(sys.argv[1]))
