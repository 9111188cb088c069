"""Gemma 3, text (Gemma team 2025)."""
