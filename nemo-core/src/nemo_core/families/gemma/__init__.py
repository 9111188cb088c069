"""Gemma (Gemma team 2024)."""
