"""From dataset rows to token ids: preference pairs, prompts, and the order in which a run visits them."""
