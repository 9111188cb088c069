"""The language each document is written in."""
