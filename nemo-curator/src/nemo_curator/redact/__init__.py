"""Personal data and secrets found in text, and what is put in their place."""
