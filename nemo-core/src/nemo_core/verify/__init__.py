"""`nemo-core verify`: whether every implementation computes the same of a checkpoint."""
