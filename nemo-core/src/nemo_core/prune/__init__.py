"""Smaller models cut out of larger ones: what matters little is left out (Muralidharan et al. 2024)."""
