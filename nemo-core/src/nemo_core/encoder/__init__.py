"""Bidirectional encoders (BERT, Devlin et al. 2019): texts to vectors, masked tokens, classes."""
