"""Learning proofs: a tiny model reaches the entropy of a known source, and remembers a small collection."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from nemo_core.config import ModelConfig
from nemo_core.data.batch import Batch
from nemo_core.data.packing import Example, pack, packed_batch
from nemo_core.model.decoder import Decoder
from nemo_core.train.measure import measure
from nemo_core.train.objective import next_token_loss
from nemo_core.train.optimizer import build_muon, build_optimizer, set_learning_rate
from nemo_core.train.schedule import learning_rate_at

WORDS, LENGTH = 12, 48
SHAPE = ModelConfig(
    vocab_size=WORDS,
    hidden_size=48,
    num_layers=2,
    num_heads=2,
    num_kv_heads=1,
    head_dim=24,
    ffn_size=96,
    max_positions=LENGTH,
)


class MarkovSource:
    """The next word depends on the last two, or on the last alone; its entropy rate is known."""

    def __init__(self, seed: int, *, order: int = 2) -> None:
        draw = np.random.default_rng(seed)
        shape = (WORDS, WORDS) if order == 2 else (1, WORDS)
        self.chances = np.broadcast_to(draw.dirichlet(np.full(WORDS, 0.2), size=shape), (WORDS, WORDS, WORDS))
        self._draw = draw

    def rows(self, count: int) -> torch.Tensor:
        """Sequences that begin with two random words, [count, LENGTH + 1]."""
        words = np.zeros((count, LENGTH + 1), dtype=np.int64)
        words[:, :2] = self._draw.integers(0, WORDS, (count, 2))
        for place in range(2, LENGTH + 1):
            chances = self.chances[words[:, place - 2], words[:, place - 1]]
            words[:, place] = (chances.cumsum(1) > self._draw.random((count, 1))).argmax(1)
        return torch.from_numpy(words)

    def entropy_of(self, rows: torch.Tensor) -> float:
        """Mean of -log p over the targets whose two words before are known, nats."""
        words = rows.numpy()
        chances = self.chances[words[:, :-2], words[:, 1:-1]]
        return float(-np.log(np.take_along_axis(chances, words[:, 2:, None], 2)).mean())


def batch_of(rows, *, first=0):
    targets_BT = rows[:, 1:].clone()
    targets_BT[:, :first] = -100
    return Batch(rows[:, :-1], targets_BT)


def teach(model, optimizer, batches, *, steps, peak):
    for step, batch in zip(range(steps), batches, strict=False):
        set_learning_rate(optimizer, learning_rate_at(step, peak=peak, warmup_steps=10, total_steps=steps))
        optimizer.zero_grad()
        (next_token_loss(model, batch) / batch.num_targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


@pytest.mark.slow
@pytest.mark.parametrize("build", [build_optimizer, build_muon])
def test_a_known_grammar_is_learnt_to_its_entropy(build):
    """New sequences cost at most 0.06 nats a word more than the best predictor there can be (about 1.1 nats)."""
    source = MarkovSource(seed=1)
    model = Decoder(SHAPE, seed=0)
    optimizer = build(model, learning_rate=1e-2, weight_decay=0.01, betas=(0.9, 0.95))
    fresh = (batch_of(source.rows(32)) for _ in range(500))
    teach(model, optimizer, fresh, steps=500, peak=1e-2)
    unseen = source.rows(400)
    learnt = measure(model.eval(), [batch_of(unseen, first=1)]).loss
    entropy = source.entropy_of(unseen)
    assert entropy - 0.02 < learnt < entropy + 0.06
    assert entropy < 0.6 * math.log(WORDS)


def test_a_simpler_grammar_is_learnt_to_its_entropy_in_seconds():
    """As above where the next word depends on the last alone: new sequences cost at most 0.03 nats too much."""
    source = MarkovSource(seed=1, order=1)
    model = Decoder(dataclasses.replace(SHAPE, num_layers=1), seed=0)
    optimizer = build_optimizer(model, learning_rate=1e-2, weight_decay=0.01, betas=(0.9, 0.95))
    fresh = (batch_of(source.rows(16)) for _ in range(110))
    teach(model, optimizer, fresh, steps=110, peak=1e-2)
    unseen = source.rows(200)
    learnt = measure(model.eval(), [batch_of(unseen, first=1)]).loss
    entropy = source.entropy_of(unseen)
    assert entropy - 0.02 < learnt < entropy + 0.03
    assert entropy < 0.6 * math.log(WORDS)


def test_packed_texts_teach_what_they_teach_row_by_row():
    """After the same steps on the same texts, packed and one to a row, the weights agree to the rounding of sums."""
    draw = torch.Generator().manual_seed(3)
    texts = [torch.randint(0, WORDS, (length,), generator=draw).tolist() for length in (9, 20, 15, 4, 30, 11, 7)]
    examples = [Example(text, [True] * len(text)) for text in texts]
    rows = pack([len(text) for text in texts], capacity=LENGTH)
    packed = packed_batch([[examples[number] for number in row] for row in rows])
    alone = packed_batch([[example] for example in examples])
    assert len(packed.ids_BT) < len(alone.ids_BT)
    assert packed.num_targets == alone.num_targets

    def taught(batch: Batch) -> Decoder:
        model = Decoder(SHAPE, seed=0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        teach(model, optimizer, (batch for _ in range(20)), steps=20, peak=0.3)
        return model

    together, apart = taught(packed), taught(alone)
    for (name, one), other in zip(together.named_parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5, msg=name)
    assert measure(together, [alone]).loss < measure(Decoder(SHAPE, seed=0), [alone]).loss - 0.1


def test_a_small_collection_is_remembered():
    draw = torch.Generator().manual_seed(0)
    rows = torch.randint(0, WORDS, (4, 33), generator=draw)
    rows[:, 0] = torch.arange(4)
    model = Decoder(SHAPE, seed=0)
    optimizer = build_optimizer(model, learning_rate=1e-2, weight_decay=0.0, betas=(0.9, 0.95))
    teach(model, optimizer, (batch_of(rows, first=1) for _ in range(200)), steps=200, peak=1e-2)
    remembered = measure(model.eval(), [batch_of(rows, first=1)])
    assert remembered.accuracy > 0.99
    assert remembered.loss < 0.1
