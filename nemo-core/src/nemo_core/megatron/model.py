"""A decoder whose layers are megatron.core's; it is used like the native `Decoder`.

B batch, T position, E hidden width, V vocabulary, N any number of places.
"""

from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from megatron.core.tensor_parallel import gather_from_tensor_model_parallel_region
from torch import Tensor, nn

from ..config import ModelConfig
from ..model.rope import inverse_frequencies
from .layout import ALONE, Layout
from .rope import TableRotaryEmbedding
from .spec import block_spec
from .transformer import transformer_settings


def padded_vocabulary(vocab_size: int, *, tensor: int) -> int:
    """Rows of the embedding, so that every tensor-parallel rank holds as many."""
    return -(-vocab_size // tensor) * tensor


class MegatronDecoder(nn.Module):
    """A causal language model. `model(ids)` gives hidden states, `model.logits(hidden)` scores over the vocabulary."""

    def __init__(
        self, config: ModelConfig, *, layout: Layout = ALONE, on_gpu: bool = False, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.config, self.layout = config, layout
        settings = transformer_settings(config, layout, on_gpu=on_gpu, dtype=dtype)
        self.gpt = GPTModel(
            config=settings,
            transformer_layer_spec=block_spec(config, settings, transformer_engine=on_gpu),
            vocab_size=padded_vocabulary(config.vocab_size, tensor=layout.tensor),
            max_sequence_length=config.max_positions,
            share_embeddings_and_output_weights=config.tied_embeddings,
            position_embedding_type="rope",
            pre_process=parallel_state.is_pipeline_first_stage(),
            post_process=parallel_state.is_pipeline_last_stage(),
        )
        tables_KF = [inverse_frequencies(config.rope, config.head_dim)]
        self.gpt.rotary_pos_emb = TableRotaryEmbedding(tables_KF, cp_group=self.gpt.pg_collection.cp)

    def forward(
        self, ids_BT: Tensor, positions_BT: Tensor | None = None, segments_BT: Tensor | None = None
    ) -> Tensor:
        """Hidden states after the final norm, [B,T,E]."""
        positions_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device)[None] if positions_BT is None else positions_BT
        embedded_TBE = self.gpt.embedding(input_ids=ids_BT, position_ids=positions_BT)
        hidden_TBE = self.gpt.decoder(
            hidden_states=embedded_TBE,
            attention_mask=None if segments_BT is None else other_segments(segments_BT),
            rotary_pos_emb=self.gpt.rotary_pos_emb(ids_BT.shape[1]),
        )
        return hidden_TBE.transpose(0, 1)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary, [..., V], whole on every tensor-parallel rank."""
        own_part, _ = self.gpt.output_layer(hidden, weight=self.output_weight)
        return gather_from_tensor_model_parallel_region(own_part)[..., : self.config.vocab_size]

    @property
    def output_weight(self) -> Tensor | None:
        """The input embedding, where the output shares it."""
        return self.gpt.shared_embedding_or_output_weight() if self.config.tied_embeddings else None


def other_segments(segments_BT: Tensor) -> Tensor:
    """True where a query must not look because the place is in another segment, [B,1,T,T]."""
    return (segments_BT[:, None, :, None] != segments_BT[:, None, None, :])
