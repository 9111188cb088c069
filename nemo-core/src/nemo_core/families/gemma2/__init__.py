"""Gemma 2 (Gemma team 2024)."""
