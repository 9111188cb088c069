"""Settings `parallel.*`; imports nothing heavy."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

Degree = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True, kw_only=True)
class ParallelSettings:
    """Over how many processes the run is laid out in each dimension; their product is torchrun's WORLD_SIZE.

    `expert` alone is no factor of it: its processes are taken from data x fsdp x context.

    None of it touches the result beyond the order of sums, and a saved state is taken up under any other plan.
    """

    data: Annotated[
        int, Meta(ge=0, description="copies of the model, each on rows of its own; 0: all that is left")
    ] = 0
    fsdp: Annotated[Degree, Meta(description="processes that share out weights, gradients and moments (FSDP2)")] = 1
    tensor: Annotated[Degree, Meta(description="processes that split each matrix (DTensor)")] = 1
    pipeline: Annotated[Degree, Meta(description="stages of consecutive layers")] = 1
    context: Annotated[Degree, Meta(description="processes that split each sequence")] = 1
    expert: Annotated[Degree, Meta(description="processes of data x fsdp x context that share out the experts")] = 1
    schedule: Annotated[
        Literal["1f1b", "gpipe", "interleaved"], Meta(description="order in which a pipeline computes micro batches")
    ] = "1f1b"
    stages_per_rank: Annotated[int, Meta(ge=1, description="interleaved: stages that each process holds")] = 1
    reshard: Annotated[
        bool, Meta(description="fsdp: drop gathered weights after the forward pass (less memory, more traffic)")
    ] = True
    recompute: Annotated[
        Literal["none", "selective", "full"],
        Meta(description="activations computed again in the backward pass; selective: keeps matrix products"),
    ] = "none"
    compile: Annotated[
        bool, Meta(description="compile each layer with torch.compile: minutes at first, repaid by long runs on GPUs")
    ] = False
    bucket_mib: Annotated[
        float,
        Meta(
            gt=0, description="data: MiB of gradients sent at once while others are computed; as many as in torch's DDP"
        ),
    ] = 25.0
    timeout_s: Annotated[
        float,
        Meta(gt=0, description="seconds that a process waits for another that does not answer; more than a save takes"),
    ] = 1800.0
