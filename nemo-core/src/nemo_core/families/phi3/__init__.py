"""Phi-3, Phi-3.5 and Phi-4 (Abdin et al. 2024)."""
