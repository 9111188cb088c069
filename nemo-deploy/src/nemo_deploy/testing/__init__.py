"""For those who write an engine: a small complete example and the checks that every engine must pass."""
