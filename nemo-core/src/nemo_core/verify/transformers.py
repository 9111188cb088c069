"""The model as transformers computes it, traced."""

from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from ..foundation.errors import ArtifactError
from .trace import Trace


@torch.no_grad()
def trace(folder: Path, ids_BT: Tensor) -> Trace:
    """Hidden states and logits; eager attention, as it alone knows every option of every family."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, dtype=torch.float32, attn_implementation="eager"
        )
    except Exception as error:
        raise ArtifactError(f"{folder}: transformers cannot load it: {type(error).__name__}: {error}") from error
    model.train(False)
    output = model(input_ids=ids_BT, output_hidden_states=True, use_cache=False)
    return Trace(list(output.hidden_states), output.logits)
