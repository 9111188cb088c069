"""Questions to an OpenAI-compatible endpoint, each asked and paid for once."""
