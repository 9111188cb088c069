"""Other engines for the same work, imported when they are asked for."""

from types import ModuleType

from ..foundation.backend import Backend, load_backend

PACKAGE = "nemo-curator"
FRAMES = {"cudf": Backend(module="nemo_curator.backends.cudf", extra="cuda12")}
SCHEDULERS = {"dask": Backend(module="nemo_curator.backends.dask", extra="dask")}
CLUSTERS = {
    "slurm": Backend(module="nemo_curator.backends.dask_slurm", extra="dask"),
    "kubernetes": Backend(module="nemo_curator.backends.dask_kubernetes", extra="kubernetes"),
}
EMBEDDERS = {"torch": Backend(module="nemo_curator.backends.torch_embedder", extra="semantic")}


def frames(name: str) -> ModuleType:
    """Hashing, components and clustering on a GPU."""
    return load_backend("backend", name, FRAMES, package=PACKAGE)


def scheduler(name: str) -> ModuleType:
    """Calls spread over a cluster."""
    return load_backend("engine", name, SCHEDULERS, package=PACKAGE)


def cluster(name: str) -> ModuleType:
    """How a kind of cluster is started."""
    return load_backend("dask.cluster", name, CLUSTERS, package=PACKAGE)


def embedder(name: str) -> ModuleType:
    """Texts to vectors."""
    return load_backend("embedder", name, EMBEDDERS, package=PACKAGE)
