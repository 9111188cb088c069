"""Smaller models cut out of larger ones: what matters little on calibration text is left out (Muralidharan et al. 2024)."""
