"""Llama 1, 2, 3 and 3.x (Touvron et al. 2023; Llama team 2024)."""
