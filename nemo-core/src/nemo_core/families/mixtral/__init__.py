"""Mixtral of experts (Jiang et al. 2024)."""
