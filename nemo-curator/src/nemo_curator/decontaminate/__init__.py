"""Passages of evaluation sets found in documents, and cut out of them."""
