"""Where a run is done changes nothing in what it makes, and a dead worker loses nothing."""

import contextlib
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from nemo_curator import curate
from nemo_curator.backends import cluster, frames
from nemo_curator.foundation import artifact
from nemo_curator.foundation.errors import ConfigError, MissingBackend
from nemo_curator.placement import Placed, num_bytes
from nemo_curator.shards.pool import Pool

PIPELINE = [
    "repair",
    "exact_dedup",
    {"fuzzy_dedup": {"groups": True, "verify": True}},
    {"span_dedup": {"unit": "line"}},
]


def digest(output) -> str:
    return artifact.read(output, "documents").digest


@pytest.fixture(scope="module")
def scheduler():
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster


def test_dask_makes_what_the_pool_makes(corpus, tmp_path, scheduler):
    curate(corpus, tmp_path / "pool", pipeline=PIPELINE, workers=1, shard_bytes=1)
    dask = {"engine": "dask", "dask": {"address": scheduler.scheduler_address}}
    curate_placed(corpus, tmp_path / "dask", dask)
    assert digest(tmp_path / "pool") == digest(tmp_path / "dask")


def curate_placed(corpus, output, placed):
    from nemo_curator.curation import run
    from nemo_curator.foundation.settings import Sourced, convert
    from nemo_curator.recipe import Run

    values = {"input": str(corpus), "output": str(output), "pipeline": PIPELINE, "shard_bytes": 1, **placed}
    return run(convert(Run, Sourced(values, {})))


def suicide_once(*, mark: str, number: int) -> int:
    """Kill this process hard, the first time that number 3 is asked for."""
    if number == 3 and not Path(mark).exists():
        Path(mark).write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_worker_process_is_replaced_and_its_call_made_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    calls = [{"mark": str(tmp_path / "died"), "number": number} for number in range(8)]
    with Pool(2) as pool:
        found = sorted(pool.run(f"{Path(__file__).stem}:suicide_once", calls))
    assert found == list(range(8))
    assert "was ended by SIGKILL" in capsys.readouterr().err


def test_a_killed_dask_worker_loses_nothing(corpus, tmp_path, scheduler):
    curate(corpus, tmp_path / "whole", pipeline=PIPELINE, workers=1, shard_bytes=1)
    victims = [worker.pid for worker in scheduler.workers.values()]
    work = tmp_path / "out.partial/work"
    killed = []

    def kill_when_begun() -> None:
        while not list(work.glob("segment-0/*.json")):
            if done.wait(0.005):
                return
        killed.append(victims[0])
        os.kill(victims[0], signal.SIGKILL)

    done = threading.Event()
    killer = threading.Thread(target=kill_when_begun)
    killer.start()
    curate_placed(corpus, tmp_path / "out", {"engine": "dask", "dask": {"address": scheduler.scheduler_address}})
    done.set()
    killer.join()
    assert killed
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


def test_a_scheduler_that_is_not_there_is_named(corpus, tmp_path, monkeypatch):
    from nemo_curator.backends import dask

    monkeypatch.setattr(dask, "PATIENCE", "200ms")
    with pytest.raises(ConfigError, match=r"dask.address=tcp://127.0.0.1:9: no Dask scheduler answers there"):
        curate_placed(corpus, tmp_path / "out", {"engine": "dask", "dask": {"address": "tcp://127.0.0.1:9"}})


def test_a_cluster_of_its_own_takes_a_free_port_for_its_dashboard(recwarn):
    from nemo_curator.backends import dask
    from nemo_curator.placement import DaskCluster

    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # somebody else's, which serves as well
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        with dask.start(DaskCluster(), workers=0) as cluster:
            assert cluster.scheduler.services["dashboard"].port != 8787
    assert [str(each.message) for each in recwarn if "8787" in str(each.message)] == []


def test_a_slurm_cluster_asks_for_the_jobs_that_were_described():
    cluster_options = {
        "queue": "batch",
        "cores": 4,
        "processes": 2,
        "memory": "8GB",
        "walltime": "01:00:00",
        "interface": "lo",
        "scheduler_options": {"dashboard_address": ":0"},
    }
    started = cluster("slurm").start(cluster_options)
    try:
        script = started.job_script()
    finally:
        started.close()
    assert "#SBATCH -p batch" in script
    assert "#SBATCH --cpus-per-task=4" in script
    assert "#SBATCH -t 01:00:00" in script


@pytest.mark.parametrize(("load", "message"), [(lambda: frames("cudf"), r"nemo-curator\[cuda12\]")])
def test_missing_libraries_are_named_with_their_extra(load, message):
    from importlib.util import find_spec

    if find_spec("cudf"):
        pytest.skip("cudf is installed here")
    with pytest.raises(MissingBackend, match=message):
        load()


def test_memory_limits_are_sizes_that_can_be_worked_in():
    assert [num_bytes(text) for text in ("6GiB", "500MB", "1e9", "2.5 K")] == [6 << 30, 5 * 10**8, 10**9, 2500]
    with pytest.raises(ConfigError, match="memory_limit='much' is no size"):
        num_bytes("much")
    with pytest.raises(ConfigError, match="memory_limit=100MB is too little to work in; 800MB is the least"):
        Placed(memory_limit="100MB").placement()
    roomy, tight = Placed(memory_limit="6GiB", workers=4).placement(), Placed(memory_limit="1GB", workers=4).placement()
    assert (roomy.workers, tight.workers) == (4, 1)
    assert roomy.memory_bytes + 5 * 400_000_000 == 6 << 30
