"""Tensor names: a Llama folder's are the canonical ones, so nothing is renamed."""

RENAMED: dict[str, str] = {}
IGNORED_SUFFIXES = ("rotary_emb.inv_freq",)
