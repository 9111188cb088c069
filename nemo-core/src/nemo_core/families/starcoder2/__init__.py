"""StarCoder 2 (Lozhkov et al. 2024)."""
