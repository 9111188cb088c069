"""Trained classifiers: fastText models, and any sequence classifier in a Hugging Face folder."""
