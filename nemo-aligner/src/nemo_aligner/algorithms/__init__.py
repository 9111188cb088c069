"""What an update minimises: one objective per algorithm, from items to micro batches to a loss."""
