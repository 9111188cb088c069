"""Optimizers and schedules step as independent implementations of theirs do."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nemo_core.checkpoint.folder import load_model
from nemo_core.config import ModelConfig
from nemo_core.model.decoder import Decoder
from nemo_core.train.ema import Ema
from nemo_core.train.optimizer import build_adafactor, build_muon, build_optimizer
from nemo_core.train.schedule import learning_rate_at


def pair_of_models():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 8, bias=False))
    return model, copy.deepcopy(model)


def follow(model, optimizer, *, steps=6, scale=1.0):
    """Weights after some steps on given data; gradients are `scale` as long."""
    draw = torch.Generator().manual_seed(1)
    for _ in range(steps):
        loss = (model(torch.randn(5, 12, generator=draw)) - 1).square().mean() * scale
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return list(model.parameters())


def assert_same(ours, theirs, **tolerance):
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, **tolerance)


def test_adamw_is_torchs_own_written_out():
    model, twin = pair_of_models()
    optimizer = build_optimizer(model, learning_rate=0.01, weight_decay=0.1, betas=(0.9, 0.95))
    weights = list(twin.parameters())
    moments = [(torch.zeros_like(w), torch.zeros_like(w)) for w in weights]
    draw = torch.Generator().manual_seed(1)
    for step in range(1, 7):
        loss = (twin(torch.randn(5, 12, generator=draw)) - 1).square().mean()
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient, (mean, square) in zip(weights, gradients, moments, strict=True):
                weight.mul_(1 - 0.01 * 0.1 * (weight.ndim >= 2))
                mean.mul_(0.9).add_(0.1 * gradient)
                square.mul_(0.95).add_(0.05 * gradient**2)
                weight.sub_(0.01 * (mean / (1 - 0.9**step)) / ((square / (1 - 0.95**step)).sqrt() + 1e-8))
    assert_same(follow(model, optimizer), weights, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
def test_adafactor_is_transformers(scale):
    from transformers import Adafactor

    model, twin = pair_of_models()
    ours = build_adafactor(model, learning_rate=0.01, weight_decay=0.0, betas=(0.9, 0.95))
    theirs = Adafactor(
        twin.parameters(), lr=None, scale_parameter=True, relative_step=True, warmup_init=False, eps=(1e-30, 1e-3)
    )
    # relative_step gives min(1e-2, 1/sqrt(t)); both scale it by the weight's root mean square.
    assert_same(follow(model, ours, scale=scale), follow(twin, theirs, scale=scale), atol=2e-6, rtol=1e-4)


def test_adafactor_steps_are_the_papers_for_gradients_of_any_size():
    """Algorithm 4 with the relative step sizes of algorithm 5, written out; gradients shrink along the way."""
    torch.manual_seed(0)
    weight = nn.Linear(6, 9, bias=False)
    ours = build_adafactor(weight, learning_rate=0.01, weight_decay=0.0, betas=(0.9, 0.95))
    wanted_AB = weight.weight.detach().double().clone()
    row_A, column_B = torch.zeros(9, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
    for step in range(1, 9):
        gradient_AB = torch.randn(9, 6) * 10.0**-step
        gradient_AB[0] = 0  # as of a token that no text holds
        weight.weight.grad = gradient_AB.clone()
        ours.step()
        kept, square_AB = 1 - step**-0.8, gradient_AB.double().square() + 1e-30
        row_A = kept * row_A + (1 - kept) * square_AB.sum(1)
        column_B = kept * column_B + (1 - kept) * square_AB.sum(0)
        update_AB = gradient_AB.double() / (torch.outer(row_A, column_B) / row_A.sum()).sqrt()
        update_AB /= max(1.0, update_AB.square().mean().sqrt())
        size = max(1e-3, wanted_AB.square().mean().sqrt())
        wanted_AB -= size * min(0.01, step**-0.5) * update_AB
    torch.testing.assert_close(weight.weight.double(), wanted_AB, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "GPT2"])
def test_the_weights_that_decay_are_those_of_transformers_trainer(kind, tmp_path):
    transformers = pytest.importorskip("transformers", reason="the reference implementation is not installed")
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    more = {} if kind == "GPT2" else {"intermediate_size": 24, "num_key_value_heads": 1}
    config = getattr(transformers, f"{kind}Config")(**sizes, **more, tie_word_embeddings=False)
    theirs = getattr(transformers, f"{kind}LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM")(config)
    theirs.save_pretrained(tmp_path)
    decay = set(transformers.Trainer.get_decay_parameter_names(None, theirs))
    wanted = sum(weight.numel() for name, weight in theirs.named_parameters() if name in decay)
    ours = build_optimizer(load_model(tmp_path), learning_rate=0.1, weight_decay=0.5, betas=(0.9, 0.95))
    found = {group["weight_decay"]: sum(w.numel() for w in group["params"]) for group in ours.param_groups}
    total = sum(weight.numel() for weight in theirs.parameters())
    assert found == {0.5: wanted, 0.0: total - wanted}


def test_muon_is_kellers_with_the_step_sizes_of_moonlight():
    """Momentum 0.95 with Nesterov's look ahead, five Newton-Schulz steps in bfloat16, 0.2 sqrt(longer side)."""
    model, twin = pair_of_models()
    ours = build_muon(model, learning_rate=0.02, weight_decay=0.1, betas=(0.9, 0.95))
    hidden = [weight for weight in twin.parameters() if weight.ndim == 2]
    (bias,) = (weight for weight in twin.parameters() if weight.ndim < 2)
    rest = torch.optim.AdamW([bias], lr=0.02, betas=(0.9, 0.95), weight_decay=0.0)
    momentum = [torch.zeros_like(weight) for weight in hidden]
    for number in range(6):
        for one in (model, twin):
            draw = torch.Generator().manual_seed(number)
            for weight in one.parameters():
                weight.grad = torch.randn(weight.shape, generator=draw)
        ours.step()
        rest.step()
        for weight, mean in zip(hidden, momentum, strict=True):
            mean.mul_(0.95).add_(0.05 * weight.grad)
            step = orthogonal(0.05 * weight.grad + 0.95 * mean)
            with torch.no_grad():
                weight.mul_(1 - 0.02 * 0.1).sub_(0.02 * 0.2 * max(weight.shape) ** 0.5 * step)
    moved = 6 * 0.02 * 0.2 * 16**0.5
    assert_same(list(model.parameters()), list(twin.parameters()), atol=0.02 * moved, rtol=0)  # bfloat16 within


def orthogonal(gradient):
    """Newton-Schulz iteration as in Jordan et al. 2024, on the wider way around."""
    x = gradient.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.T if tall else x).float()


def test_muon_leaves_embeddings_of_tokens_and_positions_to_adamw():
    config = ModelConfig(
        vocab_size=40, hidden_size=16, num_layers=1, num_heads=2, num_kv_heads=2, head_dim=8, ffn_size=24, rope=None
    )
    model = Decoder(config, seed=0)
    muon, rest = build_muon(model, learning_rate=0.01, weight_decay=0.0, betas=(0.9, 0.95)).parts
    names = {id(weight): name for name, weight in model.named_parameters()}
    by_muon = {names[id(weight)] for group in muon.param_groups for weight in group["params"]}
    by_adamw = {names[id(weight)] for group in rest.param_groups for weight in group["params"]}
    assert all(".layers." in name for name in by_muon)
    assert {name for name in by_adamw if "embed" in name} >= {
        "model.embed_tokens.weight",
        "model.embed_positions.weight",
    }


def test_muon_moves_each_hidden_matrix_by_an_orthogonal_step():
    model, _ = pair_of_models()
    before = [weight.detach().clone() for weight in model.parameters()]
    for weight in model.parameters():
        weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(2))
    build_muon(model, learning_rate=0.01, weight_decay=0.0, betas=(0.9, 0.95)).step()
    for old, new in zip(before, model.parameters(), strict=True):
        if old.ndim == 2:
            scale = 0.01 * 0.2 * max(old.shape) ** 0.5
            singular = torch.linalg.svdvals((old - new).detach() / scale)
            assert (singular > 0.6).all()
            assert (singular < 1.3).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cosine", "linear", "inverse_sqrt", "constant"])
def test_schedules_are_transformers(kind):
    from transformers import get_scheduler

    names = {"constant": "constant_with_warmup"}
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_scheduler(names.get(kind, kind), optimizer, num_warmup_steps=10, num_training_steps=100)
    ours = [
        learning_rate_at(s, peak=1.0, warmup_steps=10, total_steps=101, kind=kind, minimum_ratio=0.0)
        for s in range(100)
    ]
    seen = []
    for _ in range(101):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    # transformers begin with a rate of 0, we with the first rise; from the peak on, the two are a step apart.
    assert ours[:10] == pytest.approx(seen[1:11])
    assert ours[10:90] == pytest.approx(seen[10:90] if kind != "inverse_sqrt" else seen[11:91], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "name"), [("linear", "linear"), ("cosine", "cosine"), ("minus_sqrt", "1-sqrt")])
def test_wsd_falls_as_in_transformers(shape, name):
    from transformers import get_wsd_schedule

    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_wsd_schedule(
        optimizer, num_warmup_steps=10, num_decay_steps=20, num_stable_steps=70, decay_type=name, min_lr_ratio=0.1
    )
    seen = []
    for _ in range(101):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert wsd_rates(shape)[10:] == pytest.approx(seen[10:])


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["linear", "cosine", "minus_sqrt", "exponential"])
def test_wsd_falls_as_in_megatron(shape):
    pytest.importorskip("megatron.core", reason="megatron-core is missing")
    from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler

    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = OptimizerParamScheduler(
        optimizer, init_lr=0.0, max_lr=1.0, min_lr=0.1, lr_warmup_steps=10, lr_decay_steps=100, lr_decay_style="WSD",
        start_wd=0.0, end_wd=0.0, wd_incr_steps=1, wd_incr_style="constant", wsd_decay_steps=20,
        lr_wsd_decay_style=shape,
    )  # fmt: skip
    seen = []
    for _ in range(101):
        seen.append(optimizer.param_groups[0]["lr"])
        theirs.step(1)
    assert wsd_rates(shape)[10:] == pytest.approx(seen[10:])


def wsd_rates(shape):
    """Rates of 10 steps of warmup, 70 flat ones and 20 in which it falls to a tenth."""
    options = {"kind": "wsd", "minimum_ratio": 0.1, "decay_share": 20 / 90, "decay_shape": shape}
    return [learning_rate_at(step, peak=1.0, warmup_steps=10, total_steps=101, **options) for step in range(101)]


def test_the_running_average_is_torchs_from_the_first_step_on():
    model, twin = pair_of_models()
    ours = Ema(model, decay=0.9)
    theirs = AveragedModel(twin, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    theirs.update_parameters(twin)  # torch's begins with the first weights it is given, ours with those before training
    for model_step in range(5):
        for one in (model, twin):
            draw = torch.Generator().manual_seed(model_step)
            with torch.no_grad():
                for weight in one.parameters():
                    weight.add_(torch.randn(weight.shape, generator=draw))
        ours.update()
        theirs.update_parameters(twin)
    assert_same(list(ours.average.values()), list(theirs.module.parameters()), atol=0.0, rtol=0.0)


def test_muon_takes_models_with_weights_of_one_kind_only():
    matrices, vectors = nn.Linear(6, 6, bias=False), nn.RMSNorm(6)
    for model in (matrices, vectors):
        before = model.weight.detach().clone()
        model.weight.grad = torch.ones_like(before)
        build_muon(model, learning_rate=0.01, weight_decay=0.0, betas=(0.9, 0.95)).step()
        assert not torch.equal(model.weight, before)
