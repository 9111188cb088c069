"""From a training folder to a folder that others load: weights, tokenizer, and the proof that they say the same."""
