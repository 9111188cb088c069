"""Configuration groups that Hydra finds as ``pkg://nemo_launcher.conf``."""
