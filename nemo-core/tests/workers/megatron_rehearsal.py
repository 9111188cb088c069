"""One of two processes that train through megatron.core's schedules and distributed optimizer, on the CPU."""

import dataclasses
import json
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from cuda_on_cpu import cuda_on_cpu  # noqa: E402

from nemo_core.checkpoint.state import load_state  # noqa: E402
from nemo_core.checkpoint.state_step import write_index, write_part  # noqa: E402
from nemo_core.checkpoint.state_store import publish, step_name  # noqa: E402
from nemo_core.config import ModelConfig, MoEConfig  # noqa: E402
from nemo_core.data.batch import Batch  # noqa: E402
from nemo_core.megatron.parallel import process_groups  # noqa: E402
from nemo_core.megatron.train import degrees_of, lay_out_stages  # noqa: E402
from nemo_core.model.decoder import Decoder  # noqa: E402
from nemo_core.parallel.mesh import Layout  # noqa: E402
from nemo_core.parallel.model import ParallelModel  # noqa: E402
from nemo_core.parallel.plan import ParallelPlan  # noqa: E402
from nemo_core.parallel.settings import ParallelSettings  # noqa: E402
from nemo_core.train.device import Compute  # noqa: E402
from nemo_core.train.objective import next_token_loss  # noqa: E402
from nemo_core.train.optimizer import build_optimizer, set_learning_rate  # noqa: E402
from nemo_core.train.settings import OptimizerSettings  # noqa: E402
from nemo_core.train.world import ALONE, World  # noqa: E402

SHAPE = ModelConfig(
    vocab_size=67, hidden_size=32, num_layers=4, num_heads=4, num_kv_heads=2, head_dim=12, ffn_size=40, max_positions=48
)
TIED = dataclasses.replace(SHAPE, tied_embeddings=True, qk_norm="head")
MOE = dataclasses.replace(SHAPE, moe=MoEConfig(num_experts=4, top_k=2, ffn_size=24))
LAYOUTS = {
    "data": (SHAPE, ParallelSettings(data=2)),
    "tensor": (TIED, ParallelSettings(tensor=2)),
    "1f1b": (SHAPE, ParallelSettings(pipeline=2)),
    "1f1b, tied": (TIED, ParallelSettings(pipeline=2)),
    "interleaved": (SHAPE, ParallelSettings(pipeline=2, stages_per_rank=2, schedule="interleaved")),
    "data, experts": (MOE, ParallelSettings(data=2)),
}
OPTIMIZER = OptimizerSettings()
COMPUTE = Compute(torch.device("cpu"), torch.float32)
STEPS, RATE, MICRO_ROWS = 4, 1e-2, 2


def batches(step: int) -> Batch:
    """Eight rows, some of whose places are not learnt from, so that processes have different numbers of targets."""
    draw = torch.Generator().manual_seed(step)
    ids = torch.randint(0, 67, (8, 21), generator=draw)
    targets = ids[:, 1:].clone()
    targets[:3, : 4 + step] = -100
    return Batch(ids[:, :-1], targets)


def learn(laid_out, optimizer, step: int) -> tuple[float, float]:
    """One step as the loop takes it: its loss and the length of its gradient."""
    batch = batches(step)
    laid_out.model.train()
    laid_out.model.zero_grad(set_to_none=True)
    loss = laid_out.accumulate(
        next_token_loss, batch, micro_rows=MICRO_ROWS, num_targets=batch.num_targets, compute=COMPUTE
    )
    norm = laid_out.clip(OPTIMIZER.max_grad_norm)
    set_learning_rate(optimizer, RATE)
    optimizer.step()
    return loss, norm


def native_of(config: ModelConfig) -> tuple[ParallelModel, torch.optim.Optimizer]:
    model = Decoder(config, seed=0)
    betas = (OPTIMIZER.beta1, OPTIMIZER.beta2)
    optimizer = build_optimizer(model, learning_rate=RATE, weight_decay=OPTIMIZER.weight_decay, betas=betas)
    return ParallelModel(Layout(ParallelPlan(), ALONE), model, model), optimizer


def megatron_of(config: ModelConfig, settings: ParallelSettings, *, seed: int):
    laid_out = lay_out_stages(
        config,
        Decoder(config, seed=seed).state_dict().__getitem__,
        settings=settings,
        world=World(dist.get_rank(), dist.get_world_size()),
        compute=COMPUTE,
        optimizer=OPTIMIZER,
        learning_rate=RATE,
    )
    return laid_out, laid_out.own_optimizer


def save(laid_out, optimizer, folder: Path) -> None:
    draft, world = folder / "draft", laid_out.world
    write_part(draft, laid_out.select(laid_out.state(optimizer), world), rank=world.rank)
    world.wait()
    if world.is_first:
        write_index(draft, num_parts=world.size, facts={"step": STEPS // 2})
        publish(draft, folder / step_name(STEPS // 2))
    world.wait()


def difference(model: Decoder | None, expected: Decoder) -> float:
    """The largest of a weight; nothing in the processes that get no whole model."""
    if model is None:
        return 0.0
    return max(float((one - other).abs().max()) for one, other in zip(model.parameters(), expected.parameters()))


def held_out_difference(laid_out, native: Decoder) -> float:
    """Of the logits that every process gets of a model to measure."""
    with torch.no_grad(), laid_out.measuring() as model:
        model.eval()
        ids = batches(0).ids_BT
        return float((model.logits(model(ids)) - native.logits(native(ids))).abs().max())


def rehearse(name: str, folder: Path) -> dict[str, object]:
    config, settings = LAYOUTS[name]
    native, native_optimizer = native_of(config)
    with process_groups(degrees_of(settings)):
        shared, optimizer = megatron_of(config, settings, seed=0)
        expected = [learn(native, native_optimizer, step) for step in range(STEPS // 2)]
        found = [learn(shared, optimizer, step) for step in range(STEPS // 2)]
        save(shared, optimizer, folder / name)
        again, other = megatron_of(config, settings, seed=1)
        saved, _ = load_state(folder / name)
        again.restore(saved, other)
        expected += [learn(native, native_optimizer, step) for step in range(STEPS // 2, STEPS)]
        resumed = [learn(again, other, step) for step in range(STEPS // 2, STEPS)]
        gone_on = [learn(shared, optimizer, step) for step in range(STEPS // 2, STEPS)]
        weights = difference(again.whole(), native.model)
        scores = held_out_difference(again, native.model.eval())
    taken_up, native_again = native_of(config)
    taken_up.restore(saved, native_again)
    return {
        "expected": expected,
        "found": found + gone_on,
        "resumed": resumed,
        "native_resumed": [learn(taken_up, native_again, step) for step in range(STEPS // 2, STEPS)],
        "weights": weights,
        "scores": scores,
    }


def main(folder: Path, names: list[str]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    with cuda_on_cpu():
        found = {name: rehearse(name, folder) for name in names}
    (folder / f"found-{dist.get_rank()}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(LAYOUTS))
