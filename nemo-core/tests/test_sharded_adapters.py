"""Adapters learn the same on two processes, each holding a share of the weights (FSDP2 over gloo), as on one."""

import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from nemo_core.config import ModelConfig
from nemo_core.model.decoder import Decoder
from nemo_core.peft.adapter import add_adapter, prefix_ids
from nemo_core.peft.settings import (
    BottleneckSettings,
    Ia3Settings,
    LoraSettings,
    PromptSettings,
    PTuningSettings,
)

CONFIG = ModelConfig(vocab_size=61, hidden_size=32, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=16, ffn_size=48)
IDS = torch.arange(24).reshape(4, 6) * 7 % 61
METHODS = {
    "lora": LoraSettings(rank=2),
    "dora": LoraSettings(rank=2, modules_to_save=("model.norm",)),
    "ia3": Ia3Settings(),
    "prompt": PromptSettings(num_tokens=4),
    "ptuning": PTuningSettings(num_tokens=4),
    "adapter": BottleneckSettings(size=4),
    "parallel_adapter": BottleneckSettings(size=4),
}


def trained(method: str, world: int, rank: int) -> dict[str, torch.Tensor]:
    """The adapter after three steps on the rows of all processes."""
    model = add_adapter(Decoder(CONFIG, seed=0), method, METHODS[method], seed=1)
    if world > 1:
        for layer in model.model.layers:
            fully_shard(layer)
        fully_shard(model)
    rows = IDS.chunk(world)[rank]
    prefix = torch.tensor([prefix_ids(model)] * len(rows), dtype=torch.int64).reshape(len(rows), -1)
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    optimizer = torch.optim.AdamW(weights.values(), lr=0.01)
    head = Decoder(CONFIG, seed=0).lm_head
    for _ in range(3):
        hidden = model(torch.cat([prefix, rows], 1))[:, prefix.shape[1] :]
        logits = head(hidden[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {n: (w.full_tensor() if isinstance(w, DTensor) else w).detach() for n, w in weights.items()}


def work(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    found = {method: trained(method, 2, rank) for method in METHODS}
    if rank == 0:
        flat = {f"{method}/{name}": weight for method, named in found.items() for name, weight in named.items()}
        save_file({name: weight.contiguous() for name, weight in flat.items()}, f"{folder}/trained.safetensors")
    dist.destroy_process_group()


@pytest.mark.slow
def test_every_method_learns_the_same_sharded_as_whole(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, args=(port, str(tmp_path)), nprocs=2)
    sharded = load_file(tmp_path / "trained.safetensors")
    for method in METHODS:
        whole = trained(method, 1, 0)
        for name, weight in whole.items():
            found = sharded.pop(f"{method}/{name}")
            torch.testing.assert_close(found, weight, rtol=2e-3, atol=2e-4, msg=f"{method}: {name}")
    assert not sharded
