"""Texts as vectors: a decoder or an encoder, pooled and normalised, and how it learns from pairs."""
