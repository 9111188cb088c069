"""Qwen 1.5 and 2 with experts (Qwen team 2024)."""
