"""Mistral 7B and its successors (Jiang et al. 2023)."""
