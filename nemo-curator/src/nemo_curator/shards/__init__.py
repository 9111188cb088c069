"""Shards of a run: planned from the input alone, worked on by processes, each finished atomically."""
