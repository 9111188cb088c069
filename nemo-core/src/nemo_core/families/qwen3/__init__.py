"""Qwen 3, dense (Yang et al. 2025)."""
