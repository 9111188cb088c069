"""Rules that tell prose from litter: scores as columns first, thresholds after."""
