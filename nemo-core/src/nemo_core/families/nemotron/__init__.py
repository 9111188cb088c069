"""Nemotron 3, 4 and Minitron (Parmar et al. 2024)."""
