"""On a GPU: Transformer Engine's layers compute and learn what the native ones do; eight bits stay near."""

import dataclasses
import json
import subprocess
import sys

import pytest
import torch

from nemo_core.config import ModelConfig, MoEConfig, NormConfig, RopeConfig
from nemo_core.data.batch import Batch
from nemo_core.model.decoder import Decoder

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="Transformer Engine needs a CUDA device"),
]

SHAPE = ModelConfig(
    vocab_size=512, hidden_size=128, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=32, ffn_size=256
)
VARIANTS = {
    "llama": {},
    "biases, tied": {"attention_bias": True, "output_bias": True, "mlp_bias": True, "tied_embeddings": True},
    "llama3 rope": {"rope": RopeConfig(kind="llama3", factor=8.0, original_positions=32)},
    "norms of heads": {"qk_norm": "head"},
    "window": {"window": 16},
    "norms around one, on both sides": {"norm": NormConfig(zero_centered=True, placement="sandwich")},
}
IDS = torch.randint(0, 512, (2, 64), generator=torch.Generator().manual_seed(0))
SEGMENTS = torch.tensor([[0] * 24 + [1] * 40, [0] * 50 + [1] * 14])


@pytest.fixture(autouse=True)
def groups():
    pytest.importorskip("transformer_engine", reason="Transformer Engine is not installed")
    from nemo_core.megatron.parallel import process_groups

    with process_groups():
        yield


def both(name: str, **options):
    from nemo_core.megatron.model import MegatronDecoder
    from nemo_core.megatron.weights import load_weights

    native = Decoder(dataclasses.replace(SHAPE, **VARIANTS[name]), seed=0)
    other = MegatronDecoder(native.config, on_gpu=True, **options).cuda().eval()
    load_weights(other, dict(native.named_parameters()).__getitem__)
    return native.cuda().eval(), other


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / one.norm())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", VARIANTS)
def test_transformer_engine_equals_native_in_bfloat16(name, packed):
    native, other = both(name)
    segments = SEGMENTS.cuda() if packed else None
    with torch.no_grad(), torch.autocast("cuda", dtype=torch.bfloat16):
        ours, theirs = (model.logits(model(IDS.cuda(), segments_BT=segments)).float() for model in (native, other))
    assert relative(ours, theirs) <= 0.02


def test_eight_bits_stay_near():
    from nemo_core.megatron.settings import Fp8Settings

    native, other = both("llama", fp8=Fp8Settings(format="hybrid"))
    with torch.no_grad(), torch.autocast("cuda", dtype=torch.bfloat16):
        ours, theirs = (model.logits(model(IDS.cuda())).float() for model in (native, other))
    assert relative(ours, theirs) <= 0.1


TRAINED = dataclasses.replace(SHAPE, num_layers=4)
EXPERTS = dataclasses.replace(TRAINED, moe=MoEConfig(num_experts=4, top_k=2, ffn_size=128))
STEPS = 4


def learn(config: ModelConfig, *, implementation: str, saved=None) -> tuple[list[float], object, object]:
    """Losses of a few steps on one GPU in bfloat16, and what they leave."""
    from nemo_core.megatron.train import lay_out
    from nemo_core.parallel.mesh import Layout
    from nemo_core.parallel.model import ParallelModel
    from nemo_core.parallel.plan import ParallelPlan
    from nemo_core.parallel.settings import ParallelSettings
    from nemo_core.train.device import Compute
    from nemo_core.train.objective import next_token_loss
    from nemo_core.train.optimizer import build_optimizer
    from nemo_core.train.settings import OptimizerSettings
    from nemo_core.train.world import ALONE

    compute, settings = Compute(torch.device("cuda", 0), torch.bfloat16), OptimizerSettings()
    native = Decoder(config, seed=0).cuda()
    if implementation == "native":
        laid_out = ParallelModel(Layout(ParallelPlan(), ALONE), native, native)
        betas = (settings.beta1, settings.beta2)
        optimizer = build_optimizer(native, learning_rate=1e-3, weight_decay=settings.weight_decay, betas=betas)
    else:
        laid_out = lay_out(
            native.config,
            native.state_dict().__getitem__,
            settings=ParallelSettings(),
            world=ALONE,
            compute=compute,
            optimizer=settings,
            learning_rate=1e-3,
        )
        optimizer = laid_out.own_optimizer
    if saved is not None:
        laid_out.restore(saved, optimizer)
    losses = []
    for step in range(STEPS):
        ids = torch.randint(0, 512, (4, 65), generator=torch.Generator().manual_seed(step))
        batch = Batch(ids[:, :-1], ids[:, 1:])
        laid_out.model.train()
        laid_out.model.zero_grad(set_to_none=True)
        loss = laid_out.accumulate(next_token_loss, batch, micro_rows=2, num_targets=batch.num_targets, compute=compute)
        laid_out.clip(1.0)
        optimizer.step()
        losses.append(loss)
    return losses, laid_out, optimizer


@pytest.mark.parametrize("config", [TRAINED, EXPERTS], ids=["dense", "experts"])
def test_its_own_optimizer_learns_what_native_learns(config):
    native, _, _ = learn(config, implementation="native")
    losses, _, _ = learn(config, implementation="megatron")
    assert losses == pytest.approx(native, rel=5e-3)


def test_a_state_is_taken_up_by_both_implementations(tmp_path):
    from nemo_core.checkpoint.state import load_state, save_state

    _, laid_out, optimizer = learn(TRAINED, implementation="megatron")
    save_state(tmp_path, laid_out.state(optimizer), {"step": STEPS})
    again, gone_on = (learn(TRAINED, implementation="megatron", saved=load_state(tmp_path)[0])[0] for _ in range(2))
    native, _, _ = learn(TRAINED, implementation="native", saved=load_state(tmp_path)[0])
    assert again == gone_on
    assert again == pytest.approx(native, rel=5e-3)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize(
    "layout",
    [
        ["parallel.tensor=2"],
        ["parallel.pipeline=2"],
        ["parallel.pipeline=2", "parallel.stages_per_rank=2", "parallel.schedule=interleaved", "micro_batch_size=2"],
        ["parallel.context=2"],
        ["parallel.data=2"],
    ],
)
def test_two_gpus_learn_what_one_does(tiny_words, tmp_path, layout):
    words = ["pretrain", *tiny_words, "implementation=megatron", "model.num_layers=4", "model.num_kv_heads=2"]
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    for count, more in ((1, []), (2, layout)):
        command = [*run, str(count), "-m", "nemo_core", *words, *more, "device=cuda", f"output={tmp_path / str(count)}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (
        [json.loads(line).get("loss") for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("1", "2")
    )
    assert [x for x in two if x] == pytest.approx([x for x in one if x], rel=2e-2)
