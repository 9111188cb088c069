"""The model of a role, as every role builds it: the folder's weights, with a fresh adapter where the recipe has one."""

from pathlib import Path

from nemo_core.checkpoint.folder import load_model
from nemo_core.model.decoder import Decoder
from nemo_core.peft.adapter import add_adapter
from nemo_core.peft.settings import LoraSettings

from ..settings.training import Adapter


def build_model(folder: Path, adapter: Adapter, *, seed: int) -> Decoder:
    """The model in `folder`; with an adapter only its matrices learn. The same `seed` gives the same adapter."""
    model = load_model(folder)
    if adapter.rank:
        add_adapter(model, adapter.method, LoraSettings(rank=adapter.rank, alpha=adapter.alpha), seed=seed)
    return model
