"""A decoder whose layers are megatron.core's; it is used like the native `Decoder`.

B batch, T position, E hidden width, V vocabulary, F rotary frequencies.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from megatron.core.packed_seq_params import PackedSeqParams
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region
from torch import Tensor, nn

from ..config import ModelConfig
from ..foundation.errors import InputError
from ..model.heads import capped
from ..model.rope import inverse_frequencies
from .collectives import for_own_part, gather
from .degrees import ALONE, Degrees
from .representable import check_representable
from .rope import TableRotaryEmbedding
from .settings import NO_FP8, Fp8Settings
from .spec import block_spec
from .transformer import transformer_settings


def padded_vocabulary(vocab_size: int, *, tensor: int) -> int:
    """Rows of the embedding, so that every tensor-parallel rank holds as many."""
    return -(-vocab_size // tensor) * tensor


class MegatronDecoder(nn.Module):
    """A causal language model. `model(ids)` gives hidden states, `model.logits(hidden)` scores over the vocabulary.

    Under pipeline parallelism it is this process's stage: after `set_input`, all but the last give hidden states
    [T,B,E] for the next one. `stage` numbers the stages of one process where it has several.
    `training` adds to the settings of its layers. `process_groups(degrees)` must be entered. Raises ConfigError for
    what megatron.core cannot represent.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        degrees: Degrees = ALONE,
        on_gpu: bool = False,
        dtype: torch.dtype = torch.float32,
        fp8: Fp8Settings = NO_FP8,
        stage: int | None = None,
        training: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        check_representable(config, degrees, on_gpu=on_gpu, fp8=fp8)
        self.config, self.degrees, self.packs = config, degrees, on_gpu
        settings = transformer_settings(config, degrees, on_gpu=on_gpu, dtype=dtype, fp8=fp8, training=training)
        first = parallel_state.is_pipeline_first_stage(ignore_virtual=stage is None, vp_stage=stage)
        last = parallel_state.is_pipeline_last_stage(ignore_virtual=stage is None, vp_stage=stage)
        # Its tie between the first stage and the last is made on a GPU; to compute only, the last loads a copy.
        keeps_copies = degrees.pipeline > 1 and not training
        self.gpt = GPTModel(
            config=settings,
            transformer_layer_spec=block_spec(config, settings, transformer_engine=on_gpu, stage=stage),
            vocab_size=padded_vocabulary(config.vocab_size, tensor=degrees.tensor),
            max_sequence_length=config.max_positions,
            share_embeddings_and_output_weights=config.tied_embeddings and not keeps_copies,
            position_embedding_type="learned_absolute" if config.rope is None else "rope",
            pre_process=first,
            post_process=last,
            vp_stage=stage,
        )
        tables_KF = rotary_tables(config)
        if tables_KF:
            long_KF = rotary_tables(config, long=True)
            self.gpt.rotary_pos_emb = TableRotaryEmbedding(tables_KF, long_KF, cp_group=self.gpt.pg_collection.cp)

    def forward(self, ids_BT: Tensor, positions_BT: Tensor | None = None, segments_BT: Tensor | None = None) -> Tensor:
        """Hidden states after the final norm, [B,T,E]; tokens of different segments do not see each other.

        Rotary angles count from the start of the row: between two tokens of a segment they differ as they should.
        Raises InputError where a sequence is longer than the model's positions.
        """
        length = ids_BT.shape[1]
        if positions_BT is None and length > self.config.max_positions:
            raise InputError(f"{length} tokens, but the model has {self.config.max_positions} positions; shorten it")
        if segments_BT is not None and self.packs:
            return self.packed(ids_BT, positions_BT, segments_BT)
        hidden_TBE: Tensor = self.gpt.decoder(
            hidden_states=self.embed(ids_BT, positions_BT),
            attention_mask=None if segments_BT is None else other_segments(segments_BT),
            rotary_pos_emb=self.angles(self.whole_length(length), positions_BT),
        )
        return self.whole_rows(hidden_TBE).transpose(0, 1).contiguous() if self.is_last else hidden_TBE

    def angles(self, length: int, positions_BT: Tensor | None, *, packed: bool = False) -> Tensor | None:
        """Rotary angles of `length` places; longrope turns by others beyond its original positions."""
        rope = self.config.rope
        if rope is None:
            return None
        reach = length
        if rope.kind == "longrope" and positions_BT is not None and self.degrees.context == 1:
            reach = int(positions_BT.max()) + 1
        is_long = rope.kind == "longrope" and reach > rope.original_positions
        found: Tensor = self.gpt.rotary_pos_emb(length, packed_seq=packed, is_long=is_long)
        return found

    def whole_length(self, length: int) -> int:
        """Places of a whole sequence of which this context-parallel rank has `length`."""
        return length * self.degrees.context

    def set_input(self, hidden_TBE: Tensor) -> None:
        """What this stage starts from instead of embedded tokens."""
        self.gpt.set_input_tensor(hidden_TBE)

    @property
    def is_first(self) -> bool:
        """Whether this stage embeds tokens."""
        return bool(self.gpt.pre_process)

    @property
    def is_last(self) -> bool:
        """Whether this stage has the final norm and the head."""
        return bool(self.gpt.post_process)

    @property
    def first_layer(self) -> int:
        """The number, from 0, of this stage's first layer in the whole model."""
        return int(self.gpt.decoder.layers[0].layer_number) - 1

    def packed(self, ids_BT: Tensor, positions_BT: Tensor | None, segments_BT: Tensor) -> Tensor:
        """The same with all segments of all rows as one packed sequence, for kernels that take no mask."""
        starts, longest = boundaries(segments_BT)
        params = PackedSeqParams(
            qkv_format="thd", cu_seqlens_q=starts, cu_seqlens_kv=starts, max_seqlen_q=longest, max_seqlen_kv=longest
        )
        if positions_BT is None:
            positions_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT)
        hidden_N1E: Tensor = self.gpt.decoder(
            hidden_states=self.embed(ids_BT.reshape(1, -1), positions_BT.reshape(1, -1)),
            attention_mask=None,
            rotary_pos_emb=self.angles(longest, positions_BT, packed=True),
            packed_seq_params=params,
        )
        if not self.is_last:
            return hidden_N1E
        hidden_NE = self.whole_rows(hidden_N1E)[:, 0]
        return hidden_NE.view(*ids_BT.shape, -1)

    def whole_rows(self, hidden_TBE: Tensor) -> Tensor:
        """All places, where sequence parallelism left each rank with some; all go on to compute the same with them."""
        if not self.degrees.sequence_parallel:
            return hidden_TBE
        gathered: Tensor = gather_from_sequence_parallel_region(hidden_TBE, tensor_parallel_output_grad=False)
        return gathered

    def embed(self, ids_BT: Tensor, positions_BT: Tensor | None) -> Tensor | None:
        """Embedded tokens, scaled where the model scales them, [T,B,E]; None where a former stage did that."""
        if not self.is_first:
            return None
        if positions_BT is None:
            positions_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT)
        x_TBE: Tensor = self.gpt.embedding(input_ids=ids_BT, position_ids=positions_BT)
        scale = self.config.embedding_scale
        return x_TBE if scale is None else x_TBE * torch.tensor(scale, dtype=x_TBE.dtype, device=x_TBE.device)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary, [..., V], whole on every tensor-parallel rank."""
        scores = gather(self.own_logits(hidden), -1)[..., : self.config.vocab_size]
        return capped(scores, self.config.logit_softcap)

    def own_logits(self, hidden: Tensor) -> Tensor:
        """Scores of the part of the vocabulary that this tensor-parallel rank holds."""
        return F.linear(for_own_part(hidden), self.own_head_weight)

    @property
    def own_head_weight(self) -> Tensor:
        """This rank's rows of the output embedding; the input embedding's where they are tied."""
        shares = self.gpt.share_embeddings_and_output_weights
        weight: Tensor = self.gpt.shared_embedding_or_output_weight() if shares else self.gpt.output_layer.weight
        return weight

    @property
    def head_weight(self) -> Tensor:
        """Output embedding, [V, E], whole."""
        return gather(self.own_head_weight, 0)[: self.config.vocab_size]


def rotary_tables(config: ModelConfig, *, long: bool = False) -> list[Tensor]:
    """Frequencies of all layers, and of sliding ones where those differ, [F] each; `long` as for longrope."""
    ropes = [rope for rope in (config.rope, config.local_rope) if rope is not None]
    return [inverse_frequencies(rope, config.rotary_dim, long=long) for rope in ropes]


def other_segments(segments_BT: Tensor) -> Tensor:
    """True where a query must not look because the place is in another segment, [B,1,T,T]."""
    return segments_BT[:, None, :, None] != segments_BT[:, None, None, :]


def boundaries(segments_BT: Tensor) -> tuple[Tensor, int]:
    """Where segments begin when rows follow each other, as int32 with the end last; and the longest segment."""
    changes_BT = torch.ones_like(segments_BT, dtype=torch.bool)
    changes_BT[:, 1:] = segments_BT[:, 1:] != segments_BT[:, :-1]
    end = segments_BT.new_tensor([segments_BT.numel()])
    starts = torch.cat([changes_BT.flatten().nonzero()[:, 0], end]).to(torch.int32)
    return starts, int(starts.diff().max())
