"""Loss, schedule, recovery and metrics, each against its definition."""

import dataclasses
import json
import math
import signal

import pytest
import torch

from nemo_core.config import ModelConfig
from nemo_core.data.batch import IGNORED, Batch
from nemo_core.data.packing import Example, packed_batch
from nemo_core.foundation.errors import Preempted
from nemo_core.model.decoder import Decoder
from nemo_core.train import objective
from nemo_core.train.measure import measure
from nemo_core.train.metrics import MetricsLog, read_metrics
from nemo_core.train.objective import next_token_loss
from nemo_core.train.optimizer import build_optimizer
from nemo_core.train.recovery import BadSteps, Diverged, StopRequest
from nemo_core.train.schedule import learning_rate_at

SHAPE = ModelConfig(
    vocab_size=50, hidden_size=16, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=8, ffn_size=24, max_positions=64
)


@pytest.fixture
def model():
    return Decoder(SHAPE, seed=0)


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(1)
    ids_BT = torch.randint(0, 50, (3, 12), generator=draw)
    targets_BT = torch.randint(0, 50, (3, 12), generator=draw)
    targets_BT[torch.rand(3, 12, generator=draw) < 0.4] = IGNORED
    return Batch(ids_BT, targets_BT)


def reference_loss(model, batch):
    scores = model.logits(model(batch.ids_BT)).flatten(0, 1)
    return torch.nn.functional.cross_entropy(scores, batch.targets_BT.flatten(), ignore_index=IGNORED, reduction="sum")


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("tied", [False, True])
def test_loss_and_gradients_are_those_of_torchs_cross_entropy(batch, tied, monkeypatch):
    monkeypatch.setattr(objective, "CHUNK", 5)
    model = Decoder(dataclasses.replace(SHAPE, tied_embeddings=tied), seed=0)
    ours, theirs = next_token_loss(model, batch), reference_loss(model, batch)
    torch.testing.assert_close(ours, theirs)
    mine, reference = gradients(model, ours / 7), gradients(model, theirs / 7)
    for name in reference:
        torch.testing.assert_close(mine[name], reference[name], atol=1e-6, rtol=1e-4)


def test_measured_loss_counts_each_target_once(model, batch):
    measured = measure(model, [batch.rows(slice(0, 1)), batch.rows(slice(1, 3))])
    assert measured.count == batch.num_targets
    assert measured.loss == pytest.approx(reference_loss(model, batch).item() / batch.num_targets, rel=1e-6)
    assert measured.perplexity == pytest.approx(math.exp(measured.loss))
    best_BT = model.logits(model(batch.ids_BT)).argmax(-1)
    assert measured.accuracy == pytest.approx(float((best_BT == batch.targets_BT).sum()) / batch.num_targets)
    assert math.isnan(measure(model, []).loss)


def test_packed_conversations_have_the_loss_and_gradients_of_separate_ones(model):
    draw = torch.Generator().manual_seed(2)
    examples = []
    for length in (5, 9, 7):
        ids = torch.randint(0, 50, (length,), generator=draw).tolist()
        examples.append(Example(ids, [n > 2 for n in range(length)]))
    packed = next_token_loss(model, packed_batch([examples]))
    together = gradients(model, packed)
    alone = sum(next_token_loss(model, packed_batch([[example]])) for example in examples)
    torch.testing.assert_close(packed, alone)
    for name, grad in gradients(model, alone).items():
        torch.testing.assert_close(together[name], grad, atol=1e-6, rtol=1e-4)


def rates(kind, **options):
    return [learning_rate_at(s, peak=1.0, warmup_steps=4, total_steps=20, kind=kind, **options) for s in range(20)]


def test_every_schedule_rises_first_and_then_goes_its_way():
    for kind in ("cosine", "wsd", "linear", "inverse_sqrt", "constant"):
        assert rates(kind)[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates("cosine", minimum_ratio=0.1)[-1] == pytest.approx(0.1)
    assert rates("cosine", minimum_ratio=0.0)[4 + 7] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 15)))
    assert rates("linear", minimum_ratio=0.0)[-1] == 0.0
    assert rates("constant")[4:] == [1.0] * 16
    wsd = rates("wsd", minimum_ratio=0.0, decay_share=0.2)
    assert wsd[4:16] == [1.0] * 12
    assert wsd[-1] == 0.0
    assert rates("inverse_sqrt", minimum_ratio=0.0)[15] == pytest.approx(0.5)
    assert learning_rate_at(99, peak=1.0, warmup_steps=0, total_steps=10) == pytest.approx(0.1)


def test_only_matrices_decay(model):
    optimizer = build_optimizer(model, learning_rate=0.1, weight_decay=0.5, betas=(0.9, 0.95))
    decayed = {id(w) for group in optimizer.param_groups if group["weight_decay"] for w in group["params"]}
    assert decayed == {id(w) for w in model.parameters() if w.ndim == 2}


def test_bad_steps_are_forgiven_until_there_are_too_many_in_a_row():
    bad = BadSteps(max_in_a_row=3)
    assert bad.is_bad(1, loss=math.nan, grad_norm=1.0)
    assert bad.is_bad(2, loss=1.0, grad_norm=math.inf)
    assert not bad.is_bad(3, loss=1.0, grad_norm=1.0)
    assert (bad.total, bad.in_a_row) == (2, 0)
    bad.is_bad(4, loss=math.nan, grad_norm=1.0)
    bad.is_bad(5, loss=math.nan, grad_norm=1.0)
    with pytest.raises(Diverged, match=r"step 6: loss nan, gradient norm 1.0, and so for 3 steps in a row"):
        bad.is_bad(6, loss=math.nan, grad_norm=1.0)


def test_signals_wait_for_the_step_to_end():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert not stop.asked
        signal.raise_signal(signal.SIGTERM)
        assert stop.asked
        with pytest.raises(Preempted, match="the state after step 7 is saved"):
            stop.obey(saved_at=7)
    assert signal.getsignal(signal.SIGTERM) is before
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stop.obey(saved_at=7)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_metrics_of_steps_that_come_again_are_dropped(tmp_path):
    with MetricsLog(tmp_path, tensorboard=False) as log:
        for step in range(1, 6):
            log.log(step, loss=float(step))
    with open(tmp_path / "metrics.jsonl", "a") as handle:
        handle.write('{"step": 6, "lo')
    with MetricsLog(tmp_path, resumed_at=3, tensorboard=False) as log:
        log.log(4, loss=40.0)
    assert [(row["step"], row["loss"]) for row in read_metrics(tmp_path / "metrics.jsonl")] == [
        (1, 1.0),
        (2, 2.0),
        (3, 3.0),
        (4, 40.0),
    ]
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1]) == {"step": 4, "loss": 40.0}


@pytest.mark.slow
def test_tensorboard_reads_what_is_written(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with MetricsLog(tmp_path) as log:
        log.log(1, loss=3.0)
        log.log(2, loss=2.0)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 3.0), (2, 2.0)]
