"""Training models that score a text: its class, or how much people like an answer."""
