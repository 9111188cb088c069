"""Experts in files of ranks: each rank counts its own from 0, in one of three forms that megatron.core has had.

X experts of all ranks, L of one; E hidden width, F expert width of a tensor-parallel rank (twice that where gated).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from ...foundation.errors import ArtifactError
from ...megatron.mapping import EXPERTS

ONE_BY_ONE = re.compile(r"mlp\.experts\.local_experts\.(?P<number>\d+)\.(?P<rest>.+)$")
SIDE_BY_SIDE = re.compile(r"mlp\.experts\.(?P<rest>linear_fc[12]\.(?:weight|bias))(?P<number>\d+)$")
JOINED = re.compile(r"mlp\.experts\.weight(?P<layer>[12])$")
OF_EXPERT = re.compile(rf"{re.escape(EXPERTS)}(?P<number>\d+)\.")


@dataclass(frozen=True)
class Owner:
    """Which expert-parallel rank has an expert, and what number it has there."""

    rank: int
    number: int


def owner_of(expert: int, *, num_local: int) -> Owner:
    """Where an expert is, each rank having `num_local` of them."""
    return Owner(*divmod(expert, num_local))


def with_experts_apart(state: Mapping[str, Tensor], *, ranks: int, place: str) -> dict[str, Tensor]:
    """The tensors of one of `ranks` expert-parallel ranks, each expert's under a name of its own."""
    return {name: tensor for key, whole in state.items() for name, tensor in apart(key, whole, state, ranks, place)}


def apart(key: str, whole: Tensor, state: Mapping[str, Tensor], ranks: int, place: str) -> Iterator[tuple[str, Tensor]]:
    """What a tensor holds, by name."""
    named = ONE_BY_ONE.search(key) or SIDE_BY_SIDE.search(key)
    joined = JOINED.search(key)
    if named is not None:
        yield f"{key[: named.start()]}{EXPERTS}{named['number']}.{named['rest']}", whole
    elif joined is not None:
        router = key[: joined.start()] + "mlp.router.weight"
        if router not in state:
            raise ArtifactError(f"{place}: has {key!r} but no {router!r}, which says how many experts that joins")
        parts = split_joined(whole, num_local=len(state[router]) // ranks, is_first=joined["layer"] == "1")
        for number, part in enumerate(parts):
            yield f"{key[: joined.start()]}{EXPERTS}{number}.linear_fc{joined['layer']}.weight", part
    else:
        yield key, whole


def split_joined(whole: Tensor, *, num_local: int, is_first: bool) -> list[Tensor]:
    """Each expert's matrix of a ``GroupedMLP``: its first is [E, L*F] in form and [L, E, F] in memory, its second
    [L*F, E].
    """
    if is_first:
        return [part.T for part in whole.reshape(num_local, len(whole), -1)]
    return [part.T for part in whole.reshape(num_local, -1, whole.shape[1])]


def num_local_experts(state: Mapping[str, Tensor]) -> int:
    """How many experts a rank has in a layer; 0 where it has none."""
    return 1 + max((int(found["number"]) for name in state if (found := OF_EXPERT.search(name))), default=-1)


def numbered_expert(name: str, *, rank: int, num_local: int) -> str:
    """A name with the number that the expert has among those of all ranks."""
    return OF_EXPERT.sub(lambda found: f"{EXPERTS}{rank * num_local + int(found['number'])}.", name)
