"""Checkpoints that other tools write: megatron.core's ``torch_dist``, NeMo's ``.nemo`` files and NeMo 2 folders."""
