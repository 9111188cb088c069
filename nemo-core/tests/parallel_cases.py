"""Real gloo processes for tests: started once, each runs the function it is sent and answers with a value."""

import dataclasses
import os
import queue
import socket
import traceback
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as multiprocessing
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from nemo_core.checkpoint.state_piece import piece_of, slices
from nemo_core.checkpoint.state_settings import StateSettings
from nemo_core.checkpoint.state_step import SavedState
from nemo_core.config import ModelConfig
from nemo_core.data.batch import IGNORED, Batch
from nemo_core.model.decoder import Decoder
from nemo_core.model.initial import DrawnWeights
from nemo_core.model.skeleton import outline
from nemo_core.parallel.apply import parallelize
from nemo_core.parallel.plan import make_plan
from nemo_core.parallel.settings import ParallelSettings
from nemo_core.train.balance import Balanced
from nemo_core.train.device import Compute
from nemo_core.train.ema import Ema
from nemo_core.train.loop import Parts, Plan, learn, restore, state_tensors
from nemo_core.train.measure import measure
from nemo_core.train.objective import next_token_loss
from nemo_core.train.saving import Saver
from nemo_core.train.session import make_optimizer
from nemo_core.train.settings import OptimizerSettings
from nemo_core.train.world import ALONE, joined_world

SHAPE = ModelConfig(
    vocab_size=50, hidden_size=16, num_layers=4, num_heads=4, num_kv_heads=2, head_dim=8, ffn_size=24, max_positions=64
)
TOLERANCE = 1e-6
CPU = Compute(torch.device("cpu"), torch.float32)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(rank: int, size: int, port: int, asked: Any, answers: Any) -> None:
    """A worker: join the world, then run what comes until None."""
    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
    }
    with joined_world(60.0) as world:
        while (task := asked.get()) is not None:
            function, arguments = task
            try:
                answers.put((rank, function(world, *arguments), None))
            except Exception:
                answers.put((rank, None, traceback.format_exc()))


TASKS = 24  # each makes groups of its own, which gloo serves with threads until the process ends


class Workers:
    """`size` processes that share a world, and are replaced by new ones after every `TASKS` tasks."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.start()

    def start(self) -> None:
        """Begin with new processes."""
        context = multiprocessing.get_context("spawn")
        self.done, self.answers = 0, context.Queue()
        size, self.asked = self.size, [context.Queue() for _ in range(self.size)]
        port = free_port()
        self.processes = [
            context.Process(target=serve, args=(rank, size, port, self.asked[rank], self.answers))
            for rank in range(size)
        ]
        for process in self.processes:
            process.start()

    def __call__(self, function: Any, *arguments: Any) -> list[Any]:
        """What `function(world, *arguments)` returns in each process, by rank."""
        if self.done == TASKS:
            self.close()
            self.start()
        self.done += 1
        for asked in self.asked:
            asked.put((function, arguments))
        results: dict[int, Any] = {}
        for _ in range(self.size):
            try:
                rank, value, error = self.answers.get(timeout=120)
            except queue.Empty:
                self.start_again()
                raise AssertionError("the processes hang") from None
            if error:
                self.start_again()  # the others may wait for the one that failed
                raise AssertionError(error)
            results[rank] = value
        return [results[rank] for rank in range(self.size)]

    def start_again(self) -> None:
        """Replace processes that may hang."""
        for process in self.processes:
            process.kill()
            process.join()
        self.start()

    def close(self) -> None:
        """End them."""
        for asked in self.asked:
            asked.put(None)
        for process in self.processes:
            process.join(30)
            if process.is_alive():
                process.kill()


def ragged_batch(rows: int, length: int = 12, *, packed: bool = False) -> Batch:
    """Rows of which different numbers of places count."""
    draw = torch.Generator().manual_seed(1)
    ids_BT = torch.randint(0, 50, (rows, length), generator=draw)
    targets_BT = torch.randint(0, 50, (rows, length), generator=draw)
    targets_BT[torch.rand(rows, length, generator=draw) < 0.4] = IGNORED
    if not packed:
        return Batch(ids_BT, targets_BT)
    segments_BT = (torch.arange(length) >= torch.tensor([[3 + row % 5] for row in range(rows)])).long()
    positions_BT = torch.arange(length) - segments_BT * torch.tensor([[3 + row % 5] for row in range(rows)])
    return Batch(ids_BT, targets_BT, positions_BT, segments_BT)


def parts_of(
    world: Any, settings: ParallelSettings, changes: dict[str, Any], seed: int = 0, kind: str = "adamw"
) -> Parts:
    """A tiny model laid out as `settings` say, its weights drawn process by process as in a run."""
    config = dataclasses.replace(SHAPE, **changes)
    if make_plan(settings, config, world.size).is_plain:
        model = Decoder(config, seed=seed)
        parallel = parallelize(model, settings, world, CPU)
    else:
        model = outline(config)
        parallel = parallelize(model, settings, world, CPU, weights=DrawnWeights(model, config, seed=seed))
    return Parts(
        model=model,
        data=None,  # type: ignore[arg-type]
        objective=next_token_loss,
        optimizer=make_optimizer(model, 0.01, OptimizerSettings(kind=kind, weight_decay=0.1)),
        schedule=lambda _: 0.01,
        validate=dict,
        compute=CPU,
        world=parallel.world,
        parallel=parallel,
    )


Case = tuple[Batch, int]  # and how many rows are computed at once


def worst_gradients(
    world: Any, settings: ParallelSettings, changes: dict[str, Any], cases: list[Case]
) -> list[dict[str, Any]]:
    """For each case: loss, gradient length and largest difference of a gradient from those of one process."""
    parts = parts_of(world, settings, changes)
    reference = Decoder(dataclasses.replace(SHAPE, **changes), seed=0)
    return [worst_gradient(parts, reference, batch, micro_rows) for batch, micro_rows in cases]


def check(workers: Workers, settings: ParallelSettings, changes: dict[str, Any], *cases: Case) -> None:
    """Loss, gradients and their length are those of one process."""
    for rank, answers in enumerate(workers(worst_gradients, settings, changes, list(cases))):
        for number, found in enumerate(answers):
            assert abs(found["loss"]) < 2 * TOLERANCE, (rank, number, found)  # about 4: four units in the last place
            assert abs(found["norm"]) < TOLERANCE, (rank, number, found)
            assert found["gradient"] < TOLERANCE, (rank, number, found)


def worst_balanced_gradients(
    world: Any, settings: ParallelSettings, changes: dict[str, Any], batch: Batch
) -> dict[str, Any]:
    """The same with experts that are kept equally busy, row by row, and the balancing loss of the step."""
    parts = parts_of(world, settings, changes)
    reference = Decoder(dataclasses.replace(SHAPE, **changes), seed=0)
    ours, theirs = (Balanced(next_token_loss, weight=0.1) for _ in range(2))
    for row in range(len(batch.ids_BT)):
        (theirs(reference, batch.rows(slice(row, row + 1))) / batch.num_targets).backward()
    parts.laid_out.accumulate(ours, batch, micro_rows=1, num_targets=batch.num_targets, compute=CPU)
    worst = 0.0
    for name, weight in parts.model.named_parameters():
        found, expected = blocks(name, weight.grad, reference)
        worst = max(worst, float((found - expected).abs().max())) if expected.numel() else worst
    return {"balance": (ours.taken_figures(world), theirs.taken_figures(ALONE)), "gradient": worst}


def worst_gradient(parts: Parts, reference: Decoder, batch: Batch, micro_rows: int) -> dict[str, Any]:
    """The same for one case."""
    for model in (reference, parts.model):
        model.zero_grad(set_to_none=True)
    loss = next_token_loss(reference, batch) / batch.num_targets
    loss.backward()
    ours = parts.laid_out.accumulate(
        next_token_loss, batch, micro_rows=micro_rows, num_targets=batch.num_targets, compute=CPU
    )
    worst, where = 0.0, ""
    for name, weight in parts.model.named_parameters():
        found, expected = blocks(name, weight.grad, reference)
        if expected.numel() and float((found - expected).abs().max()) > worst:
            worst, where = float((found - expected).abs().max()), name
    wanted = torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.1)
    norm = parts.laid_out.clip(0.1)
    for name, weight in parts.model.named_parameters():
        torch.testing.assert_close(*blocks(name, weight.grad, reference), atol=1e-6, rtol=1e-4)
    return {"loss": ours - float(loss.detach()), "norm": norm - float(wanted), "gradient": worst, "where": where}


def blocks(name: str, gradient: torch.Tensor, reference: Decoder) -> tuple[torch.Tensor, torch.Tensor]:
    """What this process holds of a gradient, and the same block of the reference's."""
    piece = piece_of(name, gradient)
    expected = reference.get_parameter(name).grad
    return piece.data, expected[slices(piece.offset, tuple(piece.data.shape), origin=(0,) * expected.ndim)]


def measured_loss(world: Any, settings: ParallelSettings, changes: dict[str, Any], batches: list[Batch]) -> float:
    """Held-out loss, between two steps of training."""
    parts = parts_of(world, settings, changes)
    learn_once(parts)
    with parts.laid_out.measuring() as model:
        model.eval()
        loss = measure(model, batches, device=CPU.device).loss
    learn_once(parts)
    return loss


def trained_state(
    world: Any, settings: ParallelSettings, root: str, steps: int, changes: dict[str, Any], kind: str = "adamw"
) -> None:
    """Train a few steps and save the state under `root`."""
    parts = parts_of(world, settings, changes, kind=kind)
    saver = saver_of(parts, root)
    torch.manual_seed(world.rank)
    for _ in range(steps):
        learn_once(parts)
    saver.save(steps, state_tensors(parts), {"step": steps})
    saver.finish()
    assert (saver.figures.saved, saver.figures.failed) == (1, 0)


def learn_once(parts: Parts) -> float:
    """One optimizer step on the ragged batch."""
    batch = ragged_batch(5)
    plan = Plan(label="", steps=1, micro_batch_size=1, max_grad_norm=1.0, run=None)  # type: ignore[arg-type]
    return learn(parts, plan, batch, rate=0.01, skip=lambda *_: False).loss


def saver_of(parts: Parts, root: str) -> Saver:
    """What saves the state of `parts`."""
    return Saver(Path(root), StateSettings(), parts.world, select=parts.laid_out.select)


def restored_difference(
    world: Any, settings: ParallelSettings, root: str, changes: dict[str, Any], kind: str = "adamw"
) -> tuple[float, set[str], float]:
    """Restore under another plan: largest difference from what was saved, the names compared, and the loss after."""
    parts = parts_of(world, settings, changes, seed=7, kind=kind)
    restore(parts, saver_of(parts, root))
    saved = SavedState(Path(root) / "step-000002")
    worst, names = 0.0, set()
    for name, tensor in state_tensors(parts).items():
        if not name.startswith("rng."):
            piece = piece_of(name, tensor)
            block = saved.read(name, piece.offset, tuple(piece.data.shape))
            names.add(name)
            if block.numel():
                worst = max(worst, float((block - piece.data).abs().max()))
    learn_once(parts)
    return worst, names, learn_once(parts)


def restored_draw(world: Any, settings: ParallelSettings, root: str) -> float:
    """The next random number after a state was taken up."""
    parts = parts_of(world, settings, {})
    torch.manual_seed(world.rank)
    restore(parts, saver_of(parts, root))
    return float(torch.rand(()))


def half_precision_loss(world: Any, settings: ParallelSettings) -> tuple[float, float, set[torch.dtype]]:
    """Loss in bfloat16 and in float32, and the formats of weights and gradients."""
    batch = ragged_batch(5)
    reference = next_token_loss(Decoder(SHAPE, seed=0), batch) / batch.num_targets
    compute = Compute(torch.device("cpu"), torch.bfloat16)
    model = Decoder(SHAPE, seed=0)
    parallel = parallelize(model, settings, world, compute)
    loss = parallel.accumulate(next_token_loss, batch, micro_rows=1, num_targets=batch.num_targets, compute=compute)
    formats = {tensor.dtype for weight in model.parameters() for tensor in (weight, weight.grad)}
    return loss, float(reference.detach()), formats


def learnt_model(
    world: Any, settings: ParallelSettings, changes: dict[str, Any], folder: str, kind: str = "adamw"
) -> None:
    """Train a few steps with an average of the weights, and write both models."""
    parts = parts_of(world, settings, changes)
    chosen = OptimizerSettings(kind=kind)
    parts = dataclasses.replace(
        parts, optimizer=make_optimizer(parts.model, 0.01, chosen), ema=Ema(parts.model, decay=0.5)
    )
    for _ in range(3):
        learn_once(parts)
        parts.ema.update()
    save_average_of(parts, Path(folder))


def save_average_of(parts: Parts, folder: Path) -> None:
    """The model, and that of its averaged weights in ema/."""
    parts.laid_out.save(folder)
    with parts.ema.in_place():
        parts.laid_out.save(folder / "ema")


def whole_matrix_steps(world: Any, kind: str, placements: tuple[int | None, ...]) -> bool:
    """Whether `kind` does to weights cut along those axes (None: copied) what it does to whole ones, bit for bit."""
    mesh = init_device_mesh("cpu", (world.size,))
    draw = torch.Generator().manual_seed(0)
    shapes = [(6, 10), (10, 6), (8, 8), (7, 5), (9,)]
    whole, cut = nn.ParameterDict(), nn.ParameterDict()
    for number, (shape, axis) in enumerate(zip(shapes, placements, strict=True)):
        weight = torch.randn(shape, generator=draw)
        placement = Replicate() if axis is None else Shard(axis)
        whole[f"w{number}"] = nn.Parameter(weight.clone())
        cut[f"w{number}"] = nn.Parameter(distribute_tensor(weight, mesh, [placement]))
    optimizers = [make_optimizer(model, 0.1, OptimizerSettings(kind=kind)) for model in (whole, cut)]
    for _ in range(3):
        for name, weight in whole.items():
            weight.grad = torch.randn(weight.shape, generator=draw)
            cut[name].grad = distribute_tensor(weight.grad, mesh, cut[name].placements)
        for optimizer in optimizers:
            optimizer.step()
    return all(torch.equal(cut[name].full_tensor(), weight) for name, weight in whole.items())
