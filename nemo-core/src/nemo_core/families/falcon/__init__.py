"""Falcon 7B, 40B and 180B (Almazrouei et al. 2023)."""
