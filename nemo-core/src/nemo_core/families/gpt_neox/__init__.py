"""GPT-NeoX and Pythia (Black et al. 2022; Biderman et al. 2023)."""
