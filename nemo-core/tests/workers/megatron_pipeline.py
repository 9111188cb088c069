"""One of two processes that each have half of a megatron model's layers, for test_megatron_pipeline."""

import dataclasses
import json
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from redrawn import redrawn  # noqa: E402

from nemo_core.checkpoint.foreign.source import MegatronSource  # noqa: E402
from nemo_core.checkpoint.foreign.stacked import StackedFolder, stacked_tensors  # noqa: E402
from nemo_core.checkpoint.foreign.torch_dist import write_torch_dist  # noqa: E402
from nemo_core.config import ModelConfig, MoEConfig, NormConfig  # noqa: E402
from nemo_core.megatron.degrees import Degrees  # noqa: E402
from nemo_core.megatron.distributed_checkpoint import load_distributed, save_distributed  # noqa: E402
from nemo_core.megatron.model import MegatronDecoder  # noqa: E402
from nemo_core.megatron.parallel import process_groups  # noqa: E402
from nemo_core.megatron.weights import held, load_weights  # noqa: E402

SHAPE = ModelConfig(
    vocab_size=67, hidden_size=32, num_layers=4, num_heads=4, num_kv_heads=2, head_dim=12, ffn_size=40, max_positions=48
)
EXPERTS = MoEConfig(num_experts=4, top_k=2, ffn_size=24, shared_ffn_size=16, dense_layers=(0, 2))
VARIANTS = {
    "llama": SHAPE,
    "tied, learned positions": dataclasses.replace(
        SHAPE, tied_embeddings=True, rope=None, norm=NormConfig(kind="layer", bias=True), mlp_bias=True
    ),
    "windows in some layers": dataclasses.replace(SHAPE, window=5, layer_kinds=("sliding", "full", "full", "sliding")),
    "experts in some layers": dataclasses.replace(SHAPE, moe=EXPERTS),
}
IDS = torch.randint(0, 67, (2, 20), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def logits(model: MegatronDecoder) -> torch.Tensor | None:
    """Of the last stage, which gets the hidden states that the first one sends; None in the first."""
    if not model.is_last:
        dist.send(model(IDS).contiguous(), 1)
        return None
    hidden = torch.empty(IDS.shape[1], IDS.shape[0], model.config.hidden_size)
    dist.recv(hidden, 0)
    model.set_input(hidden)
    return model.logits(model(IDS))


def same(model: MegatronDecoder, other: MegatronDecoder) -> bool:
    return all(torch.equal(one, two) for (_, one), (_, two) in zip(held(model), held(other), strict=True))


def look(name: str, folder: Path, degrees: Degrees) -> dict[str, object]:
    native = redrawn(VARIANTS[name])
    weights = native.state_dict()
    model = MegatronDecoder(native.config, degrees=degrees).eval()
    load_weights(model, weights.__getitem__)
    scores = logits(model)
    save_distributed(model, folder / name)
    of_one = folder / f"{name} of one process"
    if dist.get_rank() == 0:
        write_torch_dist(of_one, stacked_tensors(native.config, weights.__getitem__), common={})
    dist.barrier()
    again, split = (MegatronDecoder(native.config, degrees=degrees) for _ in range(2))
    load_distributed(again, folder / name)
    load_distributed(split, of_one)
    read = dict(MegatronSource(StackedFolder(folder / name), native.config))
    with torch.no_grad():
        expected = native.logits(native(IDS))
    return {
        "logits": None if scores is None else float((scores - expected).abs().max()),
        "layers": [model.first_layer, model.first_layer + len(model.gpt.decoder.layers)],
        "names": sorted(entry.full_name for entry, _ in held(model) if entry.layer is None),
        "loads_again": same(model, again),
        "one_to_two": same(model, split),
        "two_to_one": read.keys() == weights.keys() and all(torch.equal(read[key], weights[key]) for key in read),
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    degrees = Degrees(pipeline=2)
    with process_groups(degrees):
        found = {name: look(name, folder, degrees) for name in VARIANTS}
    (folder / f"found-{dist.get_rank()}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


main(Path(sys.argv[1]))
