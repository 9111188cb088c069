"""One of two processes that train a megatron model wrapped in torch's DistributedDataParallel, beside a native one."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from nemo_core.config import ModelConfig
from nemo_core.megatron.model import MegatronDecoder
from nemo_core.megatron.parallel import process_groups
from nemo_core.megatron.weights import load_weights
from nemo_core.model.decoder import Decoder

CONFIG = ModelConfig(
    vocab_size=67, hidden_size=32, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=12, ffn_size=40, max_positions=48
)
IDS = torch.randint(0, 67, (4, 21), generator=torch.Generator().manual_seed(0))
STEPS = 5


class Loss(torch.nn.Module):
    """Mean next-token loss, inside the wrapped forward pass as DistributedDataParallel wants it."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        scores = self.model.logits(self.model(ids[:, :-1]))
        return torch.nn.functional.cross_entropy(scores.flatten(0, 1), ids[:, 1:].flatten())


def learn(module: torch.nn.Module, ids: torch.Tensor) -> list[float]:
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = module(ids)
        loss.backward()
        optimizer.step()
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        losses.append(float(mean) / dist.get_world_size())
    return losses


def main(target: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    native = Decoder(CONFIG, seed=0)
    with process_groups():
        shared = MegatronDecoder(CONFIG)
        load_weights(shared, dict(native.named_parameters()).__getitem__)
        rank = dist.get_rank()
        found = {
            "shared": learn(DistributedDataParallel(Loss(shared)), IDS[2 * rank : 2 * rank + 2]),
            "native": learn(Loss(native), IDS),
        }
    if rank == 0:
        target.write_text(json.dumps(found))
    dist.destroy_process_group()


main(Path(sys.argv[1]))
