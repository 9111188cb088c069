"""Models and training state on disk; safetensors and JSON, never pickle."""
