"""What a run will take, told before it starts, from a sample of its input that goes through its real steps."""
