"""What training minimises with a vocabulary that tensor-parallel ranks share. N targets, W this rank's tokens."""

from dataclasses import replace

from megatron.core import parallel_state
from torch import Tensor

from ..data.batch import Batch
from ..parallel.loss import Part, SplitCrossEntropy
from ..train.balance import Balanced
from ..train.objective import Objective, hidden_at_targets, next_token_loss
from .model import MegatronDecoder


def objective_for(objective: Objective) -> Objective:
    """The objective of a model split by tensors: next_token_loss by parts of the vocabulary; others gather the head."""
    is_split = parallel_state.get_tensor_model_parallel_world_size() > 1
    if isinstance(objective, Balanced):  # whose sums stay those of the given one
        return replace(objective, base=objective_for(objective.base))
    return split_next_token_loss if is_split and objective is next_token_loss else objective  # type: ignore[return-value]


def split_next_token_loss(model: MegatronDecoder, batch: Batch) -> Tensor:
    """As `next_token_loss`, each rank scoring its own part of the vocabulary, without the padding."""
    hidden_NE, targets_N = hidden_at_targets(model, batch)  # type: ignore[arg-type]
    weight_WE = model.own_head_weight
    first = parallel_state.get_tensor_model_parallel_rank() * len(weight_WE)
    own_tokens = max(0, min(len(weight_WE), model.config.vocab_size - first))
    part = Part(first, parallel_state.get_tensor_model_parallel_group(), model.config.logit_softcap)
    result: Tensor = SplitCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_NE, weight_WE[:own_tokens], targets_N, part
    )
    return result
