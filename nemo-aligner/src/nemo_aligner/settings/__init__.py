"""Settings of the commands; nothing here imports torch."""
