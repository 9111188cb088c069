"""From documents and conversations to batches of token ids."""
