"""How processes find each other, also after torchrun restarted them.

torchrun keeps its store over restarts, with what the dead processes left in it: gloo then waits for their addresses.
So every attempt works under a prefix of its own, which the first process draws and hands to each of the others that
shows itself with a fresh number. Counting restarts would not do: nodes of one run count differently.
"""

import contextlib
import time
import uuid
from datetime import timedelta

from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed import DistStoreError
from torch.distributed.rendezvous import rendezvous

from .recovery import PeerLost

LOOK_EVERY = timedelta(seconds=0.2)


def fresh_store(timeout_s: float) -> tuple[Store, int, int]:
    """The store that torchrun describes in the environment, empty for this attempt; this rank; and how many there are.

    Raises PeerLost where not all processes appear within `timeout_s`.
    """
    store, rank, size = next(rendezvous("env://", timeout=timedelta(seconds=timeout_s)))
    prefix = hand_out(store, size, timeout_s=timeout_s) if rank == 0 else take(store, rank, timeout_s=timeout_s)
    return PrefixStore(prefix, store), rank, size


def take(store: Store, rank: int, *, timeout_s: float) -> str:
    """The prefix of this attempt, from the first process."""
    number = uuid.uuid4().hex
    store.set(f"nemo/here/{rank}", number)
    try:
        store.wait([f"nemo/go/{number}"], timedelta(seconds=timeout_s))
    except DistStoreError:
        raise PeerLost(missing("the first process", timeout_s)) from None
    prefix = str(store.get(f"nemo/go/{number}").decode())
    store.set(f"nemo/taken/{prefix}/{rank}", "1")
    return prefix


def hand_out(store: Store, size: int, *, timeout_s: float) -> str:
    """A new prefix, once every other process has it; numbers that dead processes left are answered too, and ignored."""
    prefix, deadline = uuid.uuid4().hex, time.monotonic() + timeout_s
    taken = [f"nemo/taken/{prefix}/{rank}" for rank in range(1, size)]
    while not store.check(taken):
        for rank in range(1, size):
            if store.check([f"nemo/here/{rank}"]):
                store.set(f"nemo/go/{store.get(f'nemo/here/{rank}').decode()}", prefix)
        with contextlib.suppress(DistStoreError):
            store.wait(taken, LOOK_EVERY)
        if time.monotonic() > deadline:
            absent = [rank for rank, key in enumerate(taken, 1) if not store.check([key])]
            raise PeerLost(missing(f"processes {absent}", timeout_s))
    return prefix


def missing(who: str, timeout_s: float) -> str:
    """That somebody did not come."""
    return (
        f"{who} did not appear within parallel.timeout_s={timeout_s:g} s; look at their logs, then start the run again"
    )
