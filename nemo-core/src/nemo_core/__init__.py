"""Language models on a laptop CPU or a cluster: definitions, checkpoints, training, PEFT and generation."""

__version__ = "0.1.0"
