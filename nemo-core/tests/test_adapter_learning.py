"""Every adapter method learns: a frozen model that guesses between two continuations is taught to take one.

The model is trained on walks around a ring of 24 tokens, by 1 or by 7 at a time. Some begin with a token that says
which, the others mix both, each walk with a taste of its own. Then only the adapter learns, from walks by 7 that begin
with no such token: the loss falls from what is left to guess to nearly 0.
"""

import pytest
import torch

from nemo_core.config import ModelConfig
from nemo_core.data.batch import IGNORED, Batch
from nemo_core.model.decoder import Decoder
from nemo_core.peft.adapter import add_adapter, prefix_ids
from nemo_core.peft.settings import (
    LEARNING_RATES,
    BottleneckSettings,
    Ia3Settings,
    LoraSettings,
    PromptSettings,
    PTuningSettings,
)
from nemo_core.train.objective import next_token_loss
from nemo_core.train.optimizer import build_optimizer

RING, LENGTH = 24, 24
REACHED = 0.03
CONFIG = ModelConfig(
    vocab_size=RING + 2, hidden_size=32, num_layers=2, num_heads=2, num_kv_heads=2, head_dim=16, ffn_size=64
)
CASES = {
    "lora": ("lora", LoraSettings(rank=2, alpha=4.0)),
    "rslora": ("lora", LoraSettings(rank=2, alpha=4.0, rank_stabilized=True)),
    "dora": ("dora", LoraSettings(rank=2, alpha=4.0)),
    "ia3": ("ia3", Ia3Settings()),
    "prompt": ("prompt", PromptSettings(num_tokens=4)),
    "ptuning": ("ptuning", PTuningSettings(num_tokens=4)),
    "ptuning-lstm": ("ptuning", PTuningSettings(num_tokens=4, encoder="lstm", num_layers=1)),
    "adapter": ("adapter", BottleneckSettings(size=4)),
    "parallel_adapter": ("parallel_adapter", BottleneckSettings(size=4)),
}


def walks(count: int, draw: torch.Generator, *, only_far: bool) -> torch.Tensor:
    """Walks around the ring, [count, LENGTH + 1]."""
    start = torch.randint(RING, (count, 1), generator=draw)
    taste = torch.ones(count, 1) if only_far else torch.rand(count, 1, generator=draw)
    steps = torch.where(torch.rand(count, LENGTH, generator=draw) < taste, 7, 1)
    return torch.cat([start, start + steps.cumsum(1)], 1) % RING


def announced(count: int, draw: torch.Generator) -> torch.Tensor:
    """Walks that begin with a token that says how they go on, and walks that do not, [2 * count, LENGTH + 1]."""
    far = torch.randint(2, (count, 1), generator=draw)
    start = torch.randint(RING, (count, 1), generator=draw)
    told = torch.cat([RING + far, (start + torch.arange(LENGTH) * (1 + 6 * far)) % RING], 1)
    return torch.cat([told, walks(count, draw, only_far=False)])


def batch_of(rows: torch.Tensor, prefix: list[int]) -> Batch:
    """Walks after a prefix that is read, not learnt."""
    before = torch.tensor([prefix] * len(rows), dtype=torch.int64).reshape(len(rows), -1)
    unlearnt = torch.full_like(before, IGNORED)
    return Batch(torch.cat([before, rows[:, :-1]], 1), torch.cat([unlearnt, rows[:, 1:]], 1))


def learn(model: Decoder, *, steps: int, rate: float, only_far: bool) -> None:
    optimizer = build_optimizer(model, learning_rate=rate, weight_decay=0.0, betas=(0.9, 0.95))
    draw = torch.Generator().manual_seed(2)
    model.train()
    for _ in range(steps):
        rows = walks(16, draw, only_far=True) if only_far else announced(8, draw)
        batch = batch_of(rows, prefix_ids(model))
        optimizer.zero_grad()
        (next_token_loss(model, batch) / batch.num_targets).backward()
        optimizer.step()
    model.eval()


@torch.no_grad()
def far_loss(model: Decoder) -> float:
    batch = batch_of(walks(64, torch.Generator().manual_seed(9), only_far=True), prefix_ids(model))
    return float(next_token_loss(model, batch) / batch.num_targets)


@pytest.fixture(scope="module")
def walker() -> dict[str, torch.Tensor]:
    """Weights of the model that knows both ways of walking."""
    torch.set_num_threads(1)
    model = Decoder(CONFIG, seed=0)
    learn(model, steps=400, rate=5e-3, only_far=False)
    assert 0.12 < far_loss(model) < 0.6
    return model.state_dict()


@pytest.mark.parametrize("case", CASES)
def test_an_adapter_learns_the_task_with_the_default_rate(case, walker):
    method, settings = CASES[case]
    model = Decoder(CONFIG)
    model.load_state_dict(walker)
    before = far_loss(model)
    add_adapter(model, method, settings)
    learn(model, steps=150, rate=LEARNING_RATES[method], only_far=True)
    after = far_loss(model)
    print(f"{case}: {before:.3f} -> {after:.4f}")
    assert after < REACHED
    for name, weight in walker.items():
        assert torch.equal(weight, model.get_parameter(name) if name in dict(model.named_parameters()) else weight)
