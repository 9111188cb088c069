"""What a megatron run on GPUs hands to megatron.core, and a rehearsal of it on the CPU.

The rehearsal trains two processes through megatron.core's own schedules, gradient buffers and distributed optimizer;
only the device of what it allocates is another. Transformer Engine and NCCL need GPUs: see test_megatron_gpu.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nemo_core.data.batch import Batch
from nemo_core.foundation.errors import ConfigError
from nemo_core.megatron.context import put_together, share
from nemo_core.parallel.settings import ParallelSettings
from nemo_core.train.settings import OptimizerSettings

from .workers.cuda_on_cpu import cuda_on_cpu

pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

LAYOUTS = [
    "1f1b, tied",
    pytest.param("1f1b", marks=pytest.mark.slow),
    pytest.param("data", marks=pytest.mark.slow),
    pytest.param("interleaved", marks=pytest.mark.slow),
    pytest.param("tensor", marks=pytest.mark.slow),
    pytest.param("data, experts", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_rehearsal_learns_what_native_learns_and_takes_up_its_state(tmp_path, layout):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    worker = [str(Path(__file__).parent / "workers/megatron_rehearsal.py"), str(tmp_path), layout]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *worker], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in range(2):
        found = json.loads((tmp_path / f"found-{rank}.json").read_text())[layout]
        for ours, theirs in zip(found["found"], found["expected"], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4)  # loss and length of the gradient
        for ours, theirs in zip(found["resumed"], found["found"][2:], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-6)
        for ours, theirs in zip(found["native_resumed"], found["found"][2:], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4)
        assert found["weights"] <= 1e-4
        assert found["scores"] <= 5e-4


def rows(length: int, count: int = 2) -> Batch:
    ids = torch.arange(count * length).view(count, length)
    return Batch(ids, ids + 1)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_sequences_are_shared_out_as_megatron_shares_them(size):
    from megatron.core.models.common.embeddings.rope_utils import get_pos_emb_on_this_cp_rank

    class Group:
        def __init__(self, rank: int) -> None:
            self._rank = rank

        def size(self) -> int:
            return size

        def rank(self) -> int:
            return self._rank

    batch = rows(16)
    parts = [share(batch, rank=rank, size=size) for rank in range(size)]
    assert torch.equal(put_together([part.ids_BT for part in parts]), batch.ids_BT)
    assert sum(part.num_targets for part in parts) == batch.num_targets
    if size > 1:
        for rank, part in enumerate(parts):
            with cuda_on_cpu():
                theirs = get_pos_emb_on_this_cp_rank(torch.arange(16.0).view(16, 1, 1, 1), 0, Group(rank))
            assert part.positions_BT[0].tolist() == theirs.flatten().tolist()


def test_rows_that_cannot_be_shared_out_are_refused():
    with pytest.raises(ConfigError, match=r"parallel.context=2 cuts rows into 4 blocks, but they have 10 tokens"):
        share(rows(10), rank=0, size=2)
    packed = Batch(*(2 * [rows(8).ids_BT]), rows(8).ids_BT, rows(8).ids_BT)
    with pytest.raises(ConfigError, match=r"parallel.context=2 with several documents in a row.*separate_documents"):
        share(packed, rank=0, size=2)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (ParallelSettings(), {"deallocate_pipeline_outputs": False, "overlap_p2p_comm": False, "batch_p2p_comm": True}),
        (
            ParallelSettings(pipeline=2),
            {"deallocate_pipeline_outputs": True, "overlap_p2p_comm": False, "batch_p2p_comm": True},
        ),
        (
            ParallelSettings(pipeline=2, stages_per_rank=2, schedule="interleaved"),
            {"deallocate_pipeline_outputs": False, "overlap_p2p_comm": True, "batch_p2p_comm": False},
        ),
        (ParallelSettings(recompute="selective"), {"recompute_modules": ["core_attn"]}),
        (ParallelSettings(recompute="full"), {"recompute_granularity": "full", "recompute_num_layers": 1}),
    ],
)
def test_settings_of_the_schedules(settings, expected):
    from nemo_core.megatron.recommended import pipeline_settings

    found = pipeline_settings(settings)
    assert found["calculate_per_token_loss"] is True
    assert {name: found[name] for name in expected} == expected


def test_every_setting_is_one_that_megatron_knows():
    from megatron.core.distributed import DistributedDataParallelConfig
    from megatron.core.optimizer import OptimizerConfig

    from nemo_core.megatron.recommended import gradient_settings, optimizer_settings

    alone, shared = (DistributedDataParallelConfig(**gradient_settings(copies=n, bucket_mib=40.0)) for n in (1, 8))
    assert (alone.overlap_grad_reduce, alone.overlap_param_gather) == (False, False)
    assert (shared.overlap_grad_reduce, shared.overlap_param_gather) == (True, True)
    assert shared.use_distributed_optimizer and shared.grad_reduce_in_fp32
    assert shared.bucket_size == 10 * 2**20
    made = optimizer_settings(
        OptimizerSettings(), learning_rate=1e-3, dtype=torch.bfloat16, copies=8, fp8_recipe="tensorwise"
    )
    config = OptimizerConfig(**made)
    assert (config.bf16, config.lr, config.adam_beta2, config.weight_decay) == (True, 1e-3, 0.95, 0.1)


@pytest.mark.parametrize(
    ("settings", "on_gpu", "message"),
    [
        (ParallelSettings(pipeline=2), False, "parallel.pipeline=2 needs a GPU: its schedules allocate there"),
        (ParallelSettings(stages_per_rank=2, schedule="interleaved"), True, "needs parallel.pipeline of 2 or more"),
        (ParallelSettings(pipeline=2, stages_per_rank=2), True, "interleaved with 2 or more"),
        (ParallelSettings(pipeline=2, schedule="gpipe"), True, "parallel.schedule=gpipe .*has 1f1b"),
        (ParallelSettings(recompute="full"), False, "parallel.recompute=full is not offered"),
        (ParallelSettings(compile=True), True, "parallel.compile=True is not offered"),
    ],
)
def test_what_a_run_cannot_have_is_refused(settings, on_gpu, message):
    from nemo_core.megatron.train import check_settings

    with pytest.raises(ConfigError, match=message):
        check_settings(settings, on_gpu=on_gpu)


def test_interleaved_stages_refuse_an_odd_number_of_micro_batches():
    from nemo_core.megatron.schedule import micro_batches
    from nemo_core.parallel.plan import ParallelPlan
    from nemo_core.train.world import World

    plan, world = ParallelPlan(pipeline=2), World(0, 2, 0, 1)
    with pytest.raises(ConfigError, match=r"micro_batch_size=2 makes 3 micro batches.*rounds of parallel.pipeline=2"):
        micro_batches(rows(8, 6), world, plan, rows=2, stages=2, context_rank=0)
    cut = micro_batches(rows(8, 5), world, plan, rows=2, stages=1, context_rank=0)
    assert [len(micro.ids_BT) for micro in cut] == [2, 2, 2]
    assert sum(micro.num_targets for micro in cut) == 5 * 8
