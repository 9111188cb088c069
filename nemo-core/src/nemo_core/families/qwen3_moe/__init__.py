"""Qwen 3 with experts (Yang et al. 2025)."""
