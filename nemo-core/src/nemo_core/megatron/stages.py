"""The stages of a pipeline that one process has, and a look through all of them. T, B, E, N as in `model`."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor, nn

from ..config import ModelConfig
from ..data.batch import Batch
from ..model.heads import capped
from .context import put_together, share
from .model import MegatronDecoder
from .weights import Held, held, load_weights


class Stages(nn.Module):
    """The stages of this process, one or, interleaved, several."""

    def __init__(self, decoders: Sequence[MegatronDecoder]) -> None:
        super().__init__()
        self.decoders = nn.ModuleList(decoders)
        self.config: ModelConfig = decoders[0].config

    def __iter__(self) -> Iterator[MegatronDecoder]:
        return iter(self.decoders)  # type: ignore[arg-type]

    @property
    def last(self) -> MegatronDecoder:
        """The stage that comes last here; in the last process, that with the head."""
        decoder: MegatronDecoder = self.decoders[-1]  # type: ignore[assignment]
        return decoder

    @property
    def held(self) -> Held:
        """Every tensor of the mapping that this process has."""
        return [pair for decoder in self for pair in held(decoder)]

    def load(self, read: Callable[[str], Tensor]) -> None:
        """Copy canonical tensors in, each stage what it has."""
        for decoder in self:
            load_weights(decoder, read)


class WholeModel:
    """A model whose layers and places are in several processes, for looking only; all call it with the same rows."""

    def __init__(self, stages: Stages, dtype: torch.dtype) -> None:
        self.stages, self.config, self.dtype = stages, stages.config, dtype
        self.group = parallel_state.get_pipeline_model_parallel_group()
        self.pipeline, self.rank = self.group.size(), self.group.rank()

    def eval(self) -> None:
        """Switch to measuring."""
        self.stages.eval()

    def __call__(self, ids_BT: Tensor, positions_BT: Tensor | None = None, segments_BT: Tensor | None = None) -> Tensor:
        """Hidden states after the final norm, [B,T,E], in every process."""
        group = parallel_state.get_context_parallel_group()
        whole = Batch(ids_BT, ids_BT, positions_BT, segments_BT)
        own = share(whole, rank=group.rank(), size=group.size())
        hidden_BTE = self.through_stages(own)
        if group.size() == 1:
            return hidden_BTE
        parts = [torch.empty_like(hidden_BTE) for _ in range(group.size())]
        dist.all_gather(parts, hidden_BTE.contiguous(), group=group)
        return put_together(parts)

    def through_stages(self, batch: Batch) -> Tensor:
        """Stage after stage, each process waiting for the one before it."""
        rows, length = batch.ids_BT.shape
        decoder = self.stages.last
        sequence = decoder.degrees.tensor if decoder.degrees.sequence_parallel else 1
        packed = batch.segments_BT is not None and decoder.packs
        shape = (rows * length // sequence, 1) if packed else (length // sequence, rows)
        hidden = torch.empty(*shape, self.config.hidden_size, dtype=self.dtype, device=batch.ids_BT.device)
        output: Tensor | None = None
        for number, decoder in enumerate(self.stages):
            output = self.one_stage(decoder, batch, hidden, is_first=self.rank == number == 0)
        if self.pipeline == 1:
            assert output is not None
            return output
        final = torch.empty(rows, length, self.config.hidden_size, dtype=self.dtype, device=hidden.device)
        if self.rank == self.pipeline - 1:
            assert output is not None
            final = output.to(self.dtype)
        dist.broadcast(final, dist.get_global_rank(self.group, self.pipeline - 1), group=self.group)
        return final

    def one_stage(self, decoder: MegatronDecoder, batch: Batch, hidden: Tensor, *, is_first: bool) -> Tensor:
        """Take what the stage before gives, compute, and send what comes out to the stage behind."""
        if not is_first:
            dist.recv(hidden, self.neighbour(-1), group=self.group)
            decoder.set_input(hidden)
        output: Tensor = decoder(batch.ids_BT, batch.positions_BT, batch.segments_BT)
        if not decoder.is_last:
            dist.send(output.contiguous(), self.neighbour(1), group=self.group)
        return output

    def neighbour(self, step: int) -> int:
        """The process `step` places further in the ring of stages."""
        return dist.get_global_rank(self.group, (self.rank + step) % self.pipeline)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary, [..., V], in every process."""
        if self.pipeline == 1:
            return self.stages.last.logits(hidden)
        return capped(hidden @ self.head_weight.T, self.config.logit_softcap)

    @cached_property
    def head_weight(self) -> Tensor:
        """Output embedding, [V, E], in every process."""
        if self.pipeline == 1:
            return self.stages.last.head_weight
        weight = next(self.stages.parameters())
        head = torch.empty(self.config.vocab_size, self.config.hidden_size, dtype=weight.dtype, device=weight.device)
        if self.rank == self.pipeline - 1:
            head = self.stages.last.head_weight.detach().contiguous()
        dist.broadcast(head, dist.get_global_rank(self.group, self.pipeline - 1), group=self.group)
        return head
